//! Compares the fast path with hyper: the same requests get the same responses and publish the same events.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::HeaderValue;
use tidecast::{Channel, broker::PastEvent};
use tidecast_serve::{
    ConnectionOrigin,
    internals::{RawSocket, serve_connection},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::Builder,
    sync::watch,
    task::yield_now,
    time,
};

use crate::{
    app::App,
    config::{Config, Settings},
    http::{publish::fast_path::PublishProtocol, router::Routes},
};

/// A request that hands the connection over to hyper.
const TO_HYPER: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Maximum size of an input, in bytes, so that it fits into the buffers of a socket.
const INPUT_BYTES_MAX: usize = 32 * 1024;

/// Routes whose responses never end, or depend on the time.
const OTHERS: [&[u8]; 3] = [b"/stream", b"/metrics", b"/channels"];

/// Sends requests to one hub in pieces, and to another in one piece after a request that disables its fast path. Checks that
/// the responses are the same except for dates and epochs, and so are the events.
///
/// The first byte determines how the bytes are split, and whether pages of another origin may publish. Then records follow, each ended by 0xff. A record that begins with `=`
/// is sent as it is. Any other record has headers, a line each, an empty line and a body, which make a publish.
///
/// # Panics
///
/// If a response or an event differs.
pub fn fast_path(input: &[u8]) {
    let [seed, records @ ..] = input else { return };
    let bytes = requests(records);
    let skipped = OTHERS.iter().any(|route| bytes.windows(route.len()).any(|window| window == *route));
    if skipped || bytes.len() > INPUT_BYTES_MAX {
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (fast, general) = runtime.block_on(async {
        let config = config(*seed >= 128);
        let fast = run(&config, &pieces(&bytes, *seed)).await;
        let general = run(&config, &[TO_HYPER, &bytes]).await;
        (fast, general)
    });
    let [of_fast, of_general] = [&fast.responses, behind_first(&general.responses)].map(without_refusal);
    assert_eq!(of_fast.escape_ascii().to_string(), of_general.escape_ascii().to_string());
    assert_eq!(fast.events, general.events);
}

/// Returns the responses after the one to [`TO_HYPER`].
fn behind_first(responses: &[u8]) -> &[u8] {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head_len)) = head.parse(responses) else {
        panic!("{}", responses.escape_ascii())
    };
    let body_len = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body_len: usize =
        str::from_utf8(body_len.expect("a length").value).ok().and_then(|len| len.parse().ok()).expect("a number");
    &responses[head_len + body_len..]
}

/// Removes a refusal of hyper at the end of the responses. hyper refuses a malformed incomplete head if it arrives at once, and
/// waits for the rest if it arrives in pieces.
fn without_refusal(responses: &[u8]) -> &[u8] {
    const BEGINNING: &[u8] = b"HTTP/1.1 4";
    let at = responses.windows(BEGINNING.len()).rposition(|window| window == BEGINNING).unwrap_or(responses.len());
    let bare =
        responses[at..].windows(44).any(|window| window == b"\r\nconnection: close\r\ncontent-length: 0\r\ndate");
    if bare { &responses[..at] } else { responses }
}

/// Returns the bytes of the requests that the records describe.
fn requests(records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records.split(|byte| *byte == 0xff).filter(|record| !record.is_empty()) {
        if let Some(raw) = record.strip_prefix(b"=") {
            bytes.extend_from_slice(raw);
            continue;
        }
        let end = record.windows(2).position(|window| window == b"\n\n");
        let (headers, body) = end.map_or((&b""[..], record), |end| (&record[..end], &record[end + 2..]));
        bytes.extend_from_slice(b"POST /publish HTTP/1.1\r\nHost: localhost\r\n");
        for header in headers.split(|byte| *byte == b'\n').filter(|header| !header.is_empty()) {
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
    }
    bytes
}

/// Splits bytes into random pieces; into one for a seed of 0.
fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut random = fastrand::Rng::with_seed(seed.into());
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while seed != 0 && !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=4 * usize::from(seed)).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// The outcome of a connection.
struct Outcome {
    /// The bytes of the responses, with dates and epochs masked.
    responses: Vec<u8>,
    /// The events of each channel, without their epochs.
    events: Vec<String>,
}

fn config(with_cors: bool) -> Config {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        let config = Config::from_settings(&Settings::default()).expect("the defaults are valid");
        // Short time-outs, because advancing the clock is work too.
        let soon = Duration::from_secs(5);
        Config { header_timeout: soon, idle_timeout: soon, body_timeout: soon, ..config }
    });
    let mut config = CONFIG.clone();
    if with_cors {
        config.access.cors_origins = vec![HeaderValue::from_static("https://app.example")];
    }
    config
}

/// Serves a connection whose two ends are in this thread. When everything is sent, time is paused and advances only if nothing
/// is left to do, so that an incomplete request times out at once.
async fn run(config: &Config, pieces: &[&[u8]]) -> Outcome {
    let address = "127.0.0.1:8000".parse().expect("an address");
    let app = App::new(config.clone(), address, Arc::default()).expect("an app in memory");
    let (ours, theirs) = StdUnixStream::pair().expect("two sockets");
    ours.set_nonblocking(true).expect("a socket");
    theirs.set_nonblocking(true).expect("a socket");
    // The server uses nothing of it that is specific to TCP.
    let served = RawSocket::from(OwnedFd::from(ours));
    let mut client = UnixStream::from_std(theirs).expect("a socket");
    let (_stop, stopping) = watch::channel(false);
    let (origin, options) = (ConnectionOrigin::plain(address, address), app.config.snapshot().serve_options());
    let (routes, publishes) = (Routes::new(&app), PublishProtocol::new(app.clone()));
    let serving = tokio::spawn(serve_connection(served, origin, options, routes, publishes, stopping));

    for piece in pieces {
        // A server that has refused a request does not read the rest.
        if client.write_all(piece).await.is_err() {
            break;
        }
        for _ in 0..3 {
            yield_now().await;
        }
    }
    let mut responses = Vec::new();
    // Not before, because a request in many pieces would time out meanwhile.
    time::pause();
    // The server may close the connection with unread bytes, which is an error here.
    let _ = client.read_to_end(&mut responses).await;
    serving.await.expect("the server does not panic").expect("a slot is free");
    time::resume();
    mask_dates(&mut responses);
    mask_epochs(&mut responses);
    Outcome { responses, events: events(&app).await }
}

async fn events(app: &App) -> Vec<String> {
    let mut events = Vec::new();
    for info in app.hub.channels(None, usize::MAX) {
        let history = app.hub.newest(&info.channel, 1_000).await.expect("a history in memory");
        events.extend(history.events.iter().map(|event| describe(&info.channel, event)));
    }
    events
}

fn describe(channel: &Channel, event: &PastEvent) -> String {
    let position = event.position.to_string();
    let (epoch, offset) = position.split_once('.').expect("a position");
    let id = event.id().replace(epoch, "");
    format!("{channel:?} {offset} {id:?} {:?} {:?}", event.event_type(), event.data())
}

/// Overwrites the values of `Date` headers.
fn mask_dates(bytes: &mut [u8]) {
    const NAME: &[u8] = b"\r\ndate: ";
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(NAME.len()).position(|window| window == NAME) {
        at += found + NAME.len();
        let end = bytes.len().min(at + "Mon, 30 Nov 2026 12:00:00 GMT".len());
        bytes[at..end].fill(b'x');
    }
}

/// Overwrites what looks like an epoch: twelve digits before a dot.
fn mask_epochs(bytes: &mut [u8]) {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    for at in 0..bytes.len().saturating_sub(12) {
        if bytes[at + 12] == b'.' && bytes[at..at + 12].iter().all(is_digit) {
            bytes[at..at + 12].fill(b'x');
        }
    }
}
