//! Streams that begin while their socket is full: no byte of earlier responses, of the head or of the stream is lost or
//! repeated.
//!
//! Hundreds of connections first request other things, of sizes that fill the socket, the write buffer and hyper's
//! buffer at every point of the stream's beginning, and read nothing until the stream has an event.

use tidecast::Position;
use tidecast_test::{EventStream, HttpConnection, HubProcess, request_bytes, within};
use tokio::task::JoinSet;

use crate::TIDECAST;

const CONNECTIONS: usize = 400;
const BEFORE: usize = 20;
const AFTER: usize = 20;

/// Sizes of the requested pages: below every buffer, above the write buffer, and above the socket's buffer.
const PAGES: [usize; 8] = [10, 3_000, 15_000, 17_000, 40_000, 65_000, 180_000, 400_000];

/// After four pages of 15,000 bytes, pages of these sizes fill the write buffer before a full socket up to a point in
/// the stream's head.
const SWEPT: std::ops::Range<usize> = 3_700..4_900;
const SWEEP: usize = 120;

fn data(number: usize) -> String {
    format!("{number}|{}", "s".repeat(number * 531 % 7_001))
}

/// A request before the stream.
#[derive(Clone, Copy)]
enum EarlierRequest {
    Page(usize),
    Alive,
    Head,
    Nothing,
    Publish,
}

impl EarlierRequest {
    fn draw(random: &mut fastrand::Rng) -> Self {
        match random.u32(..10) {
            0..6 => Self::Page(PAGES[random.usize(..PAGES.len())]),
            6 => Self::Alive,
            7 => Self::Head,
            8 => Self::Nothing,
            _ => Self::Publish,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Page(_) | Self::Alive | Self::Nothing => "GET",
            Self::Head => "HEAD",
            Self::Publish => "POST",
        }
    }

    fn request(self, hub: &HubProcess) -> Vec<u8> {
        let (target, body) = match self {
            Self::Page(page) => (format!("/channels/page-{page}/events"), ""),
            Self::Alive | Self::Head => ("/healthz".to_owned(), ""),
            Self::Nothing => ("/nothing".to_owned(), ""),
            Self::Publish => ("/publish?channel=other".to_owned(), "text"),
        };
        let text = [("Content-Type", "text/plain")];
        let headers = if body.is_empty() { &[][..] } else { &text[..] };
        request_bytes(hub.address, self.method(), &target, headers, body.as_bytes())
    }

    async fn check(self, connection: &mut HttpConnection) {
        let response = connection.response(self.method()).await;
        match self {
            Self::Page(page) => {
                let filler = "p".repeat(page);
                assert!(response.json()["events"][0]["data"] == filler.as_str(), "the page of {page} bytes");
            }
            Self::Alive => assert_eq!(response.text(), "alive\n"),
            Self::Head => assert!(response.head.status == 200 && response.body.is_empty()),
            Self::Nothing => assert_eq!(response.head.status, 404),
            Self::Publish => assert_eq!(response.json()["channel"], "other"),
        }
    }
}

#[tokio::test]
async fn no_byte_is_lost_or_repeated_if_a_stream_begins_in_a_full_socket() {
    let hub = TIDECAST.serve(&["--send-buffer", "16KiB", "--stall-timeout", "10m", "--keep-alive", "0"]);
    let swept: Vec<_> = SWEPT.step_by(SWEPT.len() / SWEEP).collect();
    for bytes in PAGES.iter().chain(&swept) {
        let event = serde_json::json!({ "channel": format!("page-{bytes}"), "data": "p".repeat(*bytes) });
        hub.publish(&event.to_string()).await;
    }
    let mut random = fastrand::Rng::with_seed(5);
    let mut waiting = Vec::new();
    for number in 0..CONNECTIONS {
        let asked: Vec<_> = match swept.get(number) {
            Some(bytes) => [15_000, 15_000, 15_000, 15_000, *bytes].map(EarlierRequest::Page).into(),
            None => (0..random.usize(1..7)).map(|_| EarlierRequest::draw(&mut random)).collect(),
        };
        let mut bytes: Vec<u8> = asked.iter().flat_map(|asked| asked.request(&hub)).collect();
        let channels = if number % 5 == 0 { "channel=a&channel=b" } else { "channel=a" };
        let last = if number % 7 == 0 { "&last=100" } else { "" };
        let target = format!("/stream?{channels}{last}");
        bytes.extend(request_bytes(hub.address, "GET", &target, &[], b""));
        if number % 3 == 0 {
            bytes.extend(EarlierRequest::Publish.request(&hub));
        }
        let mut connection = HttpConnection::open_with_receive_buffer(hub.address, random.u32(1..20_000)).await;
        connection.send(&bytes).await;
        waiting.push((connection, asked));
        if number % (CONNECTIONS / BEFORE) == 0 {
            publish(&hub, number / (CONNECTIONS / BEFORE)).await;
        }
    }
    hub.until_metric("tidecast_connections", CONNECTIONS as u64 + 1).await;
    for number in BEFORE..BEFORE + AFTER {
        publish(&hub, number).await;
    }
    // The case has occurred: streams that cannot be detached before their client reads.
    let detached = hub.metric("tidecast_connections_detached_total").await;
    let streams = hub.metric("tidecast_streams").await;
    assert!(streams > detached && detached > 0, "{streams} streams, {detached} of them detached");

    let mut readers = JoinSet::new();
    for (number, (mut connection, asked)) in waiting.into_iter().enumerate() {
        readers.spawn(async move {
            for asked in asked {
                asked.check(&mut connection).await;
            }
            let mut stream = EventStream::read_head(connection).await.keep_all();
            stream.until_live().await;
            (number, stream)
        });
    }
    let mut streams = Vec::new();
    while let Some(reader) = within("the readers", readers.join_next()).await {
        streams.push(reader.unwrap());
    }
    assert_eq!(hub.metric("tidecast_streams").await, CONNECTIONS as u64);
    publish(&hub, BEFORE + AFTER).await;
    for (number, stream) in &mut streams {
        check(*number, stream).await;
    }
    assert_eq!(hub.metric("tidecast_connections_detached_total").await, CONNECTIONS as u64);
}

async fn publish(hub: &HubProcess, number: usize) {
    hub.publish(&serde_json::json!({ "channel": "a", "data": data(number) }).to_string()).await;
}

/// Checks that every event after the stream's first position arrives once.
async fn check(number: usize, stream: &mut EventStream) {
    let body = String::from_utf8_lossy(&stream.body);
    let id = body.lines().find_map(|line| line.strip_prefix("id: ")).expect("the first block has an id");
    let position: Position = id.split(',').next().and_then(|first| first.parse().ok()).expect("which is a position");
    for expected in position.offset as usize..=BEFORE + AFTER {
        let message = stream.message().await;
        assert!(message.data == data(expected), "{number}: {:.20} where {expected} was to come", message.data);
        let position = message.last_event_id.split(',').next().and_then(|id| id.parse::<Position>().ok());
        assert_eq!(position.map(|position| position.offset), Some(expected as u64 + 1));
    }
    assert!(stream.take_item().is_none());
}
