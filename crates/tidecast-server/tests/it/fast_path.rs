//! Publishes are answered without hyper. No client can tell the difference, however its requests are cut.

use std::time::Duration;

use tidecast_test::{HttpConnection, HttpResponse, HubProcess, redis::RedisServer, request_bytes, soak_factor, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{TIDECAST, redis::hub_on};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A batch whose second event conflicts with the first.
const CONFLICT: &str = r#"[{"data":"x","idempotency_key":"k"},
    {"data":"y","idempotency_key":"k","idempotency_conflict":"error"}]"#;

/// The target, the headers and the body of a request.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Returns the parts of a response that can be compared: without its date and positions, and without its length, which
/// depends on the positions.
fn comparable(response: &HttpResponse) -> (u16, Vec<(String, String)>, String) {
    let mut text = response.text();
    let mut headers = response.head.headers.clone();
    for (name, value) in &mut headers {
        let varies = name == "date" || name == "content-length" && text.contains("position");
        if varies {
            value.clear();
        }
    }
    let masked = text.split('"').map(|part| if part.parse::<tidecast::Position>().is_ok() { "POSITION" } else { part });
    text = masked.collect::<Vec<_>>().join("\"");
    (response.head.status, headers, text)
}

/// A header with which hyper answers a request as without it, and which the fast path leaves to hyper.
const FOR_HYPER: (&str, &str) = ("Expect", "nothing");

/// The fast path and hyper give the same responses to requests that the fast path accepts, refuses, or leaves to hyper.
#[tokio::test]
async fn hyper_gives_the_same_responses() {
    for arguments in [&[][..], &["--cors-origin", "https://example.com"]] {
        compare_responses(&TIDECAST.serve(&[&["--publish-key", "secret"], arguments].concat())).await;
    }
}

async fn compare_responses(hub: &HubProcess) {
    let key = ("Authorization", "Bearer secret");
    let long = "x".repeat(70_000);
    let long = format!(r#"{{"data":"{long}"}}"#);
    let cases: &[Case<'_>] = &[
        ("/publish", &[JSON, key], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key], r#"{"channel":"news","data":{"a": 1},"type":"t","id":"own","retry":5}"#),
        ("/publish", &[JSON, key], "{\"channel\":\"\\u00e4 \u{1f30a}\",\"data\":null}"),
        ("/publish", &[JSON, key, ("Accept", "*/*"), ("User-Agent", "a program")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Connection", "keep-alive")], r#"{"data":"x"}"#),
        ("/publish", &[("content-type", "Application/JSON; charset=utf-8"), key], r#"{"data":"x"}"#),
        ("/publish", &[("Content-Type", "text/plain"), key], "text"),
        ("/publish", &[("Content-Type", "application/x-www-form-urlencoded"), key], "data=x&channel=form"),
        ("/publish", &[JSON, key, ("Idempotency-Key", "once")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key], r#"[{"data":"x"},{"data":"y"}]"#),
        ("/publish", &[JSON, key], &long),
        ("/publish?channel=q", &[("Content-Type", "text/plain"), key], "text"),
        ("/publish?channel=%c3%a4&type=t", &[("Content-Type", "text/plain"), key], "text"),
        ("/publish?channel=q#part", &[("Content-Type", "text/plain"), key], "text"),
        ("/publish?channel=", &[("Content-Type", "text/plain"), key, FOR_HYPER], "text"),
        ("/publish?channel=q", &[JSON, key], r#"{"data":"x"}"#),
        ("/publish", &[JSON], r#"{"data":"x"}"#),
        ("/publish", &[JSON, ("Authorization", "Bearer wrong")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key], r#"{"dta":"x"}"#),
        ("/publish", &[JSON, key], "not JSON"),
        ("/publish", &[JSON, key], ""),
        ("/publish", &[key], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Content-Encoding", "gzip")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Origin", "https://example.com")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Origin", "https://other.example")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, ("Origin", "https://example.com")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Origin", "https://example.com")], "not JSON"),
        ("/publish", &[JSON, key, ("Connection", "close")], "not JSON"),
        ("/publish", &[JSON, key, ("Connection", "keep-alive, close")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("TE", "trailers")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Idempotency-Key", "other")], r#"[{"data":"x"}]"#),
        ("/publish", &[JSON, key], CONFLICT),
        ("/publish", &[JSON, key, ("Connection", "close")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Transfer-Encoding", "chunked")], "c\r\n{\"data\":\"x\"}\r\n0\r\n\r\n"),
        ("/publish", &[JSON, key, ("Content-Length", "12"), ("Content-Length", "12")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("Content-Length", "+12")], r#"{"data":"x"}"#),
        ("/publish", &[JSON, key, ("a b", "c")], r#"{"data":"x"}"#),
        ("/nowhere", &[JSON, key], r#"{"data":"x"}"#),
    ];
    // Before, so that both responses are to a repetition.
    hub.request("POST", "/publish", &[JSON, key, ("Idempotency-Key", "once")], br#"{"data":"x"}"#).await;
    hub.request("POST", "/publish", &[JSON, key], CONFLICT.as_bytes()).await;
    for (target, headers, body) in cases {
        let bytes = request_bytes(hub.address, "POST", target, headers, body.as_bytes());
        let mut direct = HttpConnection::open(hub.address).await;
        direct.send(&bytes).await;
        let here = comparable(&direct.response("POST").await);
        // After any other request, hyper serves the connection.
        let mut through_hyper = HttpConnection::open(hub.address).await;
        through_hyper.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
        assert_eq!(through_hyper.response("GET").await.head.status, 200);
        through_hyper.send(&bytes).await;
        let there = comparable(&through_hyper.response("POST").await);
        assert_eq!(here, there, "{target} {headers:?} {:?}", &body[..body.len().min(100)]);
    }
}

#[tokio::test]
async fn random_requests_get_the_same_responses_on_both_paths() {
    let first_seed = fastrand::u64(..);
    for seed in (first_seed..).take(30 * soak_factor() as usize) {
        let arguments: &[&str] = if seed % 2 == 0 { &[] } else { &["--cors-origin", "https://example.com"] };
        compare_random_requests(seed, &[TIDECAST.serve(arguments), TIDECAST.serve(arguments)]).await;
    }
}

/// The same with hubs on Redis, where each publish waits.
#[tokio::test]
async fn random_requests_get_the_same_responses_with_redis() {
    let servers = [RedisServer::start(&[]), RedisServer::start(&[])];
    let hubs = [hub_on(&servers[0], &[]).await, hub_on(&servers[1], &[]).await];
    let first_seed = fastrand::u64(..);
    for seed in (first_seed..).take(6 * soak_factor() as usize) {
        compare_random_requests(seed, &hubs).await;
    }
}

/// Sends random requests, cut anywhere, to a hub, and to another whose fast path is off because the connection has sent
/// another request first. The responses and the events are the same.
async fn compare_random_requests(seed: u64, hubs: &[HubProcess; 2]) {
    const KINDS: [&str; 6] =
        ["application/json", "Application/JSON; charset=utf-8", "text/plain", "text/plain; charset=latin1", "x", ""];
    const FORM: &str = "application/x-www-form-urlencoded";
    const EXTRAS: [(&str, &str); 8] = [
        ("Accept", "*/*"),
        ("Connection", "keep-alive"),
        ("Idempotency-Key", "once"),
        ("Content-Encoding", "gzip"),
        ("Origin", "http://localhost"),
        ("Origin", "https://example.com"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Expect", "100-continue"),
    ];
    const BODIES: [&str; 11] = [
        r#"{"data":"x"}"#,
        r#"{"channel":"c","data":{"a": 1.10},"type":"t","id":"own"}"#,
        r#"{"channel":"c","data":"a\r\nb","retry":5}"#,
        r#"[{"data":"x"},{"channel":"c","data":"y"}]"#,
        CONFLICT,
        r#"{"dta":"x"}"#,
        "channel=c&data=a+b",
        "channel=c&dta=a+b",
        "plain\r\ntext",
        "not JSON",
        "",
    ];
    const TARGETS: [&str; 4] = ["/publish?channel=c", "/publish?", "/publish?data=x", "/publish?channel=%63&type=t"];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..40) {
        let body = BODIES[random.usize(..BODIES.len())];
        // Often a request that is valid.
        let [kind, target] = match body.as_bytes().first() {
            _ if random.u8(..) < 50 => [KINDS[random.usize(..KINDS.len())], TARGETS[random.usize(..TARGETS.len())]],
            Some(b'{' | b'[') => [KINDS[random.usize(..2)], "/publish"],
            Some(b'c') => [FORM, "/publish"],
            _ => [KINDS[2], TARGETS[random.usize(..TARGETS.len())]],
        };
        // Any other request ends the fast path.
        let target = if random.u8(..) < 5 { "/readyz" } else { target };
        let mut headers = vec![("Host", "localhost"), ("Content-Type", kind)];
        if random.u8(..) < 80 {
            headers.push(EXTRAS[random.usize(..EXTRAS.len())]);
        }
        bytes.extend(request_bytes(hubs[0].address, "POST", target, &headers, body.as_bytes()));
    }
    let last = [("Host", "localhost"), ("Connection", "close")];
    bytes.extend(request_bytes(hubs[0].address, "GET", "/readyz", &last, b""));
    let mut outcomes = Vec::new();
    for (number, hub) in hubs.iter().enumerate() {
        let mut connection = HttpConnection::open(hub.address).await;
        let mut rest = &bytes[..];
        if number == 0 {
            connection.socket.set_nodelay(true).expect("a socket");
            for _ in 0..random.usize(0..60) {
                let (piece, after) = rest.split_at(random.usize(1..300).min(rest.len()));
                connection.send(piece).await;
                tokio::task::yield_now().await;
                rest = after;
            }
        } else {
            connection.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
            assert_eq!(connection.response("GET").await.head.status, 200);
        }
        connection.send(rest).await;
        within("the answers", async { while connection.fill(64 * 1024).await.expect("answers") {} }).await;
        let mut events = Vec::new();
        for channel in ["sse", "c"] {
            events.push(masked(&hub.get(&format!("/channels/{channel}/events?last=1000")).await.text()));
        }
        outcomes.push((masked(&String::from_utf8_lossy(&connection.buffer)), events));
    }
    assert_eq!(outcomes[0], outcomes[1], "seed {seed}: {}", bytes.escape_ascii());
}

/// Returns a text without its dates and epochs.
fn masked(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| if line.starts_with("date: ") { "date\n" } else { line });
    let parts = lines.collect::<String>();
    let parts = parts.split('"').map(|part| match part.parse::<tidecast::Position>() {
        Ok(position) => format!("EPOCH.{}", position.to_string().split_once('.').expect("a position").1),
        Err(_) => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("\"")
}

/// Requests in sequence, some of them for hyper, cut anywhere into packets: each is answered in order and published
/// once.
#[tokio::test]
async fn requests_in_any_pieces_are_answered_in_order() {
    let hub = TIDECAST.serve(&[]);
    for round in 0..24 {
        let mut random = fastrand::Rng::with_seed(round);
        // Whether each request is for the fast path.
        let plain: Vec<_> = (0..random.usize(1..60)).map(|_| random.u8(..) > 8).collect();
        let channel = format!("round{round}");
        let mut bytes = Vec::new();
        for (number, plain) in plain.iter().enumerate() {
            let body = format!(r#"{{"channel":"{channel}","data":"{number}"}}"#);
            let headers = [JSON, if *plain { ("Accept", "*/*") } else { FOR_HYPER }];
            bytes.extend(request_bytes(hub.address, "POST", "/publish", &headers, body.as_bytes()));
        }
        let mut connection = HttpConnection::open(hub.address).await;
        connection.socket.set_nodelay(true).expect("a socket");
        let mut rest = &bytes[..];
        for _ in 0..random.usize(0..40) {
            let (piece, after) = rest.split_at(random.usize(1..900).min(rest.len()));
            connection.send(piece).await;
            tokio::task::yield_now().await;
            rest = after;
        }
        connection.send(rest).await;
        for number in 1..=plain.len() {
            let response = connection.response("POST").await.json();
            let position = response["position"].as_str().expect("a position");
            assert!(position.ends_with(&format!(".{number}")), "{position} of the publish {number}");
        }
        let events = hub.request("GET", &format!("/channels/{channel}/events?last=1000"), &[], b"").await.json();
        let data: Vec<_> =
            events["events"].as_array().expect("events").iter().map(|event| event["data"].clone()).collect();
        let expected: Vec<_> = (0..plain.len()).map(|number| number.to_string()).collect();
        assert_eq!(data, expected);
    }
}

/// The hub stops reading from a client that does not read its responses once the buffers are full, and continues
/// without loss when the client reads again.
#[tokio::test]
async fn a_client_that_does_not_read_its_responses_loses_nothing() {
    const COUNT: usize = 60_000;
    let hub = TIDECAST.serve(&[]);
    let one = request_bytes(hub.address, "POST", "/publish", &[JSON], br#"{"channel":"c","data":"x"}"#);
    let (mut read, mut write) = HttpConnection::open(hub.address).await.socket.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(&one.repeat(COUNT)).await.expect("all is taken in the end");
        write
    });
    let published = async || {
        let head = hub.request("GET", "/channels/c", &[], b"").await.json()["head"].clone();
        head.as_str().and_then(|head| head.split_once('.')?.1.parse::<usize>().ok()).unwrap_or(0)
    };
    let mut before = 0;
    // Waits until nothing more is published, although not everything is.
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = published().await;
        if now > 0 && now == before {
            break;
        }
        before = now;
    }
    assert!(before < COUNT && !sending.is_finished(), "the answers to {before} fit into the socket");
    let (mut answered, mut bytes) = (0, vec![0; 1 << 20]);
    while answered < COUNT {
        let read = within("reading", read.read(&mut bytes)).await.expect("answers");
        assert!(read > 0, "the connection ended after {answered}");
        // Each response has this once, in its body.
        answered += bytes[..read].iter().filter(|byte| **byte == b'}').count();
    }
    assert_eq!(published().await, COUNT);
    drop(sending.await.expect("it ends well"));
}
