//! Streams that leave hyper lose nothing in the transition, at whatever moment it happens.
//!
//! The transition relies on more than hyper promises, so a failure here after an update of hyper points to the update.

use std::time::{Duration, Instant};

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, HubProcess, Signal, request_bytes, within};
use tokio::{io::AsyncWriteExt, net::TcpSocket, task::JoinSet};

use crate::TIDECAST;

const DETACHED: &str = "tidecast_connections_detached_total";

fn get(hub: &HubProcess, target: &str) -> Vec<u8> {
    request_bytes(hub.address, "GET", target, &[], b"")
}

async fn publish(hub: &HubProcess, channel: &str, data: &str) {
    hub.publish(&serde_json::json!({ "channel": channel, "data": data }).to_string()).await;
}

/// Connects with a small receive buffer.
async fn open_with_small_buffer(hub: &HubProcess) -> HttpConnection {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let socket = within("connecting", socket.connect(hub.address)).await.unwrap();
    HttpConnection { socket, buffer: Vec::new() }
}

#[tokio::test]
async fn a_stream_is_detached_and_counted() {
    let hub = TIDECAST.serve(&["--keep-alive", "100ms"]);
    let mut one = hub.stream("/stream?channel=a").await;
    let mut several = hub.stream("/stream?channel=a&channel=b").await;
    hub.until_metric(DETACHED, 2).await;
    assert_eq!(hub.metric("tidecast_streams").await, 2);
    assert_eq!(hub.metric("tidecast_subscriptions").await, 2);
    for number in 0..20 {
        publish(&hub, "a", &number.to_string()).await;
        assert_eq!(one.message().await.data, number.to_string());
        assert_eq!(several.message().await.data, number.to_string());
    }
    publish(&hub, "b", "other").await;
    assert_eq!(several.message().await.data, "other");
    assert_eq!(hub.metric("tidecast_events_delivered_total").await, 41);
    // The stream receives a comment, and events after it.
    for stream in [&mut one, &mut several] {
        stream.body.clear();
        stream.body_until(":\n").await;
    }
    publish(&hub, "a", "after a comment").await;
    assert_eq!(one.message().await.data, "after a comment");
    drop((one, several));
    hub.until_metric("tidecast_subscriptions", 0).await;
    hub.until_metric("tidecast_streams", 0).await;
    hub.until_metric("tidecast_connections", 1).await;
}

#[tokio::test]
async fn other_responses_are_not_detached() {
    let hub = TIDECAST.serve(&[]);
    let mut with_body = HttpConnection::open(hub.address).await;
    with_body.send(&request_bytes(hub.address, "GET", "/stream", &[], b"a body")).await;
    let mut with_body = EventStream::read_head(with_body).await;
    with_body.until_live().await;
    publish(&hub, "sse", "all the same").await;
    assert_eq!(with_body.message().await.data, "all the same");
    assert_eq!(hub.metric(DETACHED).await, 0);
}

/// Streams of HTTP/1.0, which has no chunks, stayed in hyper at 15 KiB each; nginx speaks it to the hub by default.
#[tokio::test]
async fn streams_of_http_1_0_are_detached_without_chunks() {
    let hub = TIDECAST.serve(&["--keep-alive", "100ms"]);
    let open = async |channels: &str, headers: &str| {
        let mut connection = HttpConnection::open(hub.address).await;
        let head = format!("GET /stream?{channels} HTTP/1.0\r\nHost: {}\r\n{headers}\r\n", hub.address);
        connection.send(head.as_bytes()).await;
        let mut stream = EventStream::read_head(connection).await;
        assert_eq!(stream.head.header("transfer-encoding"), None);
        assert_eq!(stream.head.header("connection"), Some("close"));
        stream.until_live().await;
        stream
    };
    let mut streams = [
        open("channel=a", "").await,
        open("channel=a&channel=b", "").await,
        open("channel=a", "Connection: keep-alive\r\n").await,
    ];
    let mut new = hub.stream("/stream?channel=a").await;
    hub.until_metric(DETACHED, 4).await;
    // Small and large events go to clients of both versions from one read of the log.
    for data in ["open_with_small_buffer".to_owned(), "x".repeat(100_000)] {
        publish(&hub, "a", &data).await;
        for stream in streams.iter_mut().chain([&mut new]) {
            assert_eq!(stream.message().await.data, data);
        }
    }
    for stream in &mut streams {
        stream.body.clear();
        assert!(stream.body_of_at_least(2).await.starts_with(":\n"), "a comment without a chunk around it");
    }
    hub.signal(Signal::TERM);
    for mut stream in streams {
        assert!(matches!(stream.rest().await.last(), Some(Item::Retry(_))));
    }
}

/// The hub read everything that a client sent on its stream's connection: 25 such clients took most of a core and
/// delayed all events.
#[tokio::test]
async fn a_client_that_keeps_sending_is_cut_off() {
    let hub = TIDECAST.serve(&[]);
    let mut quiet = hub.stream("/stream").await;
    let mut sending = hub.stream("/stream").await;
    sending.until_live().await;
    hub.until_metric(DETACHED, 2).await;
    let mut sent = 0;
    while sent < 64 << 20 && within("sending", sending.connection.socket.write_all(&[b'x'; 1024])).await.is_ok() {
        sent += 1024;
    }
    assert!(sent < 64 << 20, "it was read on and on");
    hub.until_metric("tidecast_connections_closed_total{reason=\"input\"}", 1).await;
    hub.until_metric("tidecast_streams", 1).await;
    publish(&hub, "sse", "still there").await;
    assert_eq!(quiet.message().await.data, "still there");
}

#[tokio::test]
async fn requests_before_and_after_a_stream_do_no_harm() {
    let hub = TIDECAST.serve(&[]);
    // The requests arrive one by one, then in one packet, then byte by byte.
    for way in 0..3 {
        let mut connection = HttpConnection::open(hub.address).await;
        let health = get(&hub, "/healthz");
        let ask = get(&hub, "/stream?channel=a");
        match way {
            0 => {
                for _ in 0..3 {
                    connection.send(&health).await;
                    assert_eq!(connection.response("GET").await.head.status, 200);
                }
                connection.send(&ask).await;
            }
            1 => {
                connection.send(&[&health[..], &health, &health, &ask, &health, &health].concat()).await;
                for _ in 0..3 {
                    assert_eq!(connection.response("GET").await.head.status, 200);
                }
            }
            _ => {
                connection.socket.set_nodelay(true).unwrap();
                for byte in &ask {
                    connection.send(&[*byte]).await;
                }
            }
        }
        let mut stream = EventStream::read_head(connection).await;
        stream.until_live().await;
        hub.until_metric(DETACHED, way + 1).await;
        publish(&hub, "a", "one").await;
        assert_eq!(stream.message().await.data, "one");
        // After the transition the hub reads and drops a bounded number of bytes.
        stream.connection.send(&[b'x'; 8 * 1024]).await;
        publish(&hub, "a", "two").await;
        assert_eq!(stream.message().await.data, "two");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_is_removed() {
    let hub = TIDECAST.serve(&[]);
    let mut early = HttpConnection::open(hub.address).await;
    early.send(&get(&hub, "/stream")).await;
    early.socket.shutdown().await.unwrap();
    let mut late = hub.stream("/stream").await;
    late.until_live().await;
    late.connection.socket.shutdown().await.unwrap();
    hub.until_metric("tidecast_streams", 0).await;
    hub.until_metric("tidecast_connections", 1).await;
}

/// The head of the stream cannot be written while the client does not read the response before it. If the hub did not
/// check that hyper's buffer is empty, the transition would cut off that response.
#[tokio::test]
async fn a_stream_after_a_large_unread_response_loses_nothing() {
    const EVENTS: usize = 6;
    let hub = TIDECAST.serve(&[]);
    let large = "x".repeat(1_000_000);
    for number in 0..EVENTS {
        publish(&hub, "large", &format!("{number}{large}")).await;
    }
    let large_bytes = large.len();
    let mut readers = JoinSet::new();
    for reader in 0..8 {
        let mut connection = open_with_small_buffer(&hub).await;
        // The page of past events and the stream's request arrive in one packet.
        connection.send(&[get(&hub, "/channels/large/events"), get(&hub, "/stream?channel=a")].concat()).await;
        readers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20 * reader)).await;
            let page = connection.response("GET").await;
            assert_eq!(page.head.status, 200);
            assert!(page.body.len() > EVENTS * large_bytes, "{}", page.body.len());
            let mut stream = EventStream::read_head(connection).await;
            stream.until_live().await;
            stream
        });
    }
    let mut streams = Vec::new();
    while let Some(stream) = within("the readers", readers.join_next()).await {
        streams.push(stream.unwrap());
    }
    hub.until_metric(DETACHED, 8).await;
    publish(&hub, "a", "through").await;
    for mut stream in streams {
        assert_eq!(stream.message().await.data, "through");
    }
}

/// A stream that leaves hyper at any moment loses, repeats and reorders nothing.
#[tokio::test]
async fn streams_that_open_while_events_are_published_lose_nothing() {
    const STREAMS: usize = 400;
    let hub = TIDECAST.serve(&[]);
    let publishing = {
        let address = hub.address;
        tokio::spawn(async move {
            let mut connection = HttpConnection::open(address).await;
            let mut number = 0;
            loop {
                let body = format!(r#"{{"channel":"a","data":"{number}"}}"#);
                let json = [("Content-Type", "application/json")];
                connection.send(&request_bytes(address, "POST", "/publish", &json, body.as_bytes())).await;
                assert_eq!(connection.response("POST").await.head.status, 200);
                number += 1;
                if number % 8 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let mut readers = JoinSet::new();
    for number in 0..STREAMS {
        let address = hub.address;
        readers.spawn(async move {
            let channels = if number % 4 == 0 { "channel=a&channel=b" } else { "channel=a" };
            let mut stream = EventStream::open(address, &format!("/stream?{channels}"), &[]).await;
            let first: usize = stream.message().await.data.parse().unwrap();
            for expected in first + 1..first + 200 {
                assert_eq!(stream.message().await.data, expected.to_string());
            }
        });
    }
    while let Some(reader) = within("the readers", readers.join_next()).await {
        reader.unwrap();
    }
    publishing.abort();
    assert_eq!(hub.metric(DETACHED).await, STREAMS as u64);
    hub.until_metric("tidecast_subscriptions", 0).await;
}

/// A client with a small receive buffer that reads a few bytes at a time: every write is interrupted.
#[tokio::test]
async fn interrupted_writes_lose_nothing() {
    const EVENTS: usize = 60;
    let hub = TIDECAST.serve(&["--send-buffer", "4KiB", "--stall-timeout", "10m", "--keep-alive", "20ms"]);
    let mut connection = open_with_small_buffer(&hub).await;
    connection.send(&get(&hub, "/stream?channel=a")).await;
    let mut stream = EventStream::read_head(connection).await;
    stream.until_live().await;
    hub.until_metric(DETACHED, 1).await;
    let data = |number: usize| format!("{number}|{}", "y".repeat(number * 1_237 % 20_011));
    for number in 0..EVENTS {
        publish(&hub, "a", &data(number)).await;
    }
    let mut seen = 0;
    let mut step = 0;
    while seen < EVENTS {
        step = step % 1_009 + 1;
        stream.fill(step).await;
        while let Some(item) = stream.take_item() {
            if let Item::Message(message) = item {
                assert!(message.data == data(seen), "event {seen} was torn");
                seen += 1;
            }
        }
    }
    // Comments stay whole at the end of an interrupted write.
    stream.body.clear();
    stream.body_until(":\n").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_takes_little_memory() {
    const STALLED: usize = 100;
    let hub = TIDECAST.serve(&["--stall-timeout", "1s", "--log-bytes", "1MiB", "--keep-alive", "0"]);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut connection = open_with_small_buffer(&hub).await;
        connection.send(&get(&hub, "/stream?channel=a")).await;
        let mut stream = EventStream::read_head(connection).await;
        stream.until_live().await;
        stalled.push(stream);
    }
    let mut healthy = hub.stream("/stream?channel=a").await;
    hub.until_metric(DETACHED, STALLED as u64 + 1).await;
    let before = hub.resident_bytes();
    let started = Instant::now();
    let data = "z".repeat(128 * 1024);
    for _ in 0..40 {
        publish(&hub, "a", &data).await;
        assert_eq!(healthy.message().await.data.len(), data.len());
    }
    // Each has a cursor, and at most the unwritten rest of one chunk.
    let grown = hub.resident_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown}");
    hub.until_metric("tidecast_connections_stalled_total", STALLED as u64).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    hub.until_metric("tidecast_streams", 1).await;
    hub.until_metric("tidecast_connections", 2).await;
    publish(&hub, "a", "still there").await;
    assert_eq!(healthy.message().await.data, "still there");
}

/// Streams with unread events, with unread bytes in their socket, and with several channels all end properly.
#[tokio::test]
async fn every_stream_receives_its_end_before_it_is_closed() {
    let mut hub = TIDECAST.serve(&[]);
    let mut streams = Vec::new();
    for number in 0..60 {
        let target = if number % 3 == 0 { "/stream?channel=a&channel=b" } else { "/stream?channel=a" };
        let mut stream = hub.stream(target).await;
        stream.until_live().await;
        if number % 2 == 0 {
            // If the hub closed a socket with unread bytes, the system would discard what is on its way to the client.
            stream.connection.send(&[b'x'; 10_000]).await;
        }
        streams.push(stream);
    }
    hub.until_metric(DETACHED, 60).await;
    for number in 0..50 {
        publish(&hub, "a", &format!("{number}{}", "w".repeat(10_000))).await;
    }
    hub.signal(Signal::TERM);
    for stream in &mut streams {
        let rest = stream.rest().await;
        let messages = rest.iter().filter(|item| matches!(item, Item::Message(_))).count();
        assert_eq!(messages, 50);
        assert!(matches!(rest.last(), Some(Item::Retry(_))), "{:?}", rest.last());
    }
    drop(streams);
    assert!(hub.ended().await.0.success());
    assert!(!hub.stderr().contains("cut connections"), "{}", hub.stderr());
}
