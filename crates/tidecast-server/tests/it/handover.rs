//! Streams that leave hyper while their channel is published to, while their client disconnects, and while the hub
//! stops.

use std::time::Duration;

use tidecast::{
    Position,
    wire::{Item, Message},
};
use tidecast_test::{EventStream, HttpConnection, HubProcess, Signal, eventually, request_bytes, within};
use tokio::{io::AsyncWriteExt, task::JoinSet};

use crate::TIDECAST;

const STREAMS: usize = 400;

fn offset(id: &str) -> u64 {
    let first = id.split(',').next().unwrap_or_default();
    first.parse::<Position>().unwrap_or_else(|error| panic!("{id:?}: {error}")).offset
}

/// Publishes events whose data is their offset, from 1, in batches of all kinds.
async fn publish(hub: &HubProcess, events: u64) {
    let mut random = fastrand::Rng::with_seed(3);
    let mut published = 0;
    while published < events {
        let batch = random.u64(1..8).min(events - published);
        let batch: Vec<_> = (1..=batch)
            .map(|number| serde_json::json!({ "channel": "a", "data": (published + number).to_string() }))
            .collect();
        published += batch.len() as u64;
        hub.publish(&serde_json::Value::from(batch).to_string()).await;
    }
}

/// Checks that an event directly follows the position, and advances it.
fn check_next(at: &mut u64, message: &Message) {
    assert_eq!(message.event_type, "message", "{message:?} at {at}");
    *at += 1;
    assert_eq!((message.data.parse(), offset(&message.last_event_id)), (Ok(*at), *at));
}

/// Reads the position at which a stream begins.
async fn beginning(stream: &mut EventStream) -> u64 {
    let body = loop {
        let body = String::from_utf8_lossy(&stream.body).into_owned();
        if body.split_once("\nid: ").is_some_and(|(_, behind)| behind.contains('\n')) {
            break body;
        }
        assert!(stream.fill(64 * 1024).await, "ended without a first block: {body:?}");
    };
    offset(body.lines().find_map(|line| line.strip_prefix("id: ")).expect("the first block has an id"))
}

/// Streams open at every moment of a publisher's work, and each receives everything after the position in its first
/// block.
#[tokio::test]
async fn a_new_stream_receives_everything_after_its_first_id() {
    const EVENTS: u64 = 1_400;
    let hub = TIDECAST.serve(&["--keep-alive", "0"]);
    let mut readers = JoinSet::new();
    for number in 0..STREAMS {
        let address = hub.address;
        readers.spawn(async move {
            let target = ["/stream?channel=a", "/stream?channel=a&channel=b", "/stream?channel=a&last=7"][number % 3];
            let mut connection = HttpConnection::open(address).await;
            let ask = request_bytes(address, "GET", target, &[], b"");
            // Some requests arrive in two pieces, so that streams do not open in the order of their connections.
            let (begin, rest) = ask.split_at(number % 50);
            connection.send(begin).await;
            tokio::task::yield_now().await;
            connection.send(rest).await;
            let mut stream = EventStream::read_head(connection).await;
            let mut at = beginning(&mut stream).await;
            let began = at;
            while at < EVENTS {
                check_next(&mut at, &stream.message().await);
            }
            (began, stream)
        });
    }
    publish(&hub, EVENTS).await;
    let mut streams = Vec::new();
    while let Some(reader) = within("the readers", readers.join_next()).await {
        streams.push(reader.unwrap());
    }
    assert!(streams.iter().any(|(began, _)| *began < EVENTS), "all came late");
    hub.until_metric("tidecast_connections_detached_total", STREAMS as u64).await;
    // Each stream receives the next event, so none was repeated.
    hub.publish(r#"{"channel":"a","data":"1401"}"#).await;
    for (_, stream) in &mut streams {
        let mut at = EVENTS;
        check_next(&mut at, &stream.message().await);
    }
}

/// A stream that has begun ends properly with all events. One that has not is closed or told when to reconnect.
#[tokio::test]
async fn streams_that_open_while_the_hub_stops_end_properly() {
    for round in 0..6 {
        let mut hub = TIDECAST.serve(&["--keep-alive", "0", "--stop-timeout", "10m"]);
        let mut readers = JoinSet::new();
        for number in 0..100 {
            let address = hub.address;
            readers.spawn(async move {
                // Some open long before the stop, and some after it.
                tokio::time::sleep(Duration::from_micros(number * 200)).await;
                join_until_the_end(address, number).await
            });
        }
        if round > 0 {
            let opened = "tidecast_subscriptions_opened_total";
            eventually("a stream", async || hub.metric(opened).await > 0).await;
            // Publishing continues until the hub refuses it.
            let _ = tokio::time::timeout(Duration::from_millis(3 * round), publish(&hub, 20 * round)).await;
        }
        hub.signal(Signal::TERM);
        let mut heads = Vec::new();
        while let Some(reader) = within("the readers", readers.join_next()).await {
            heads.extend(reader.unwrap());
        }
        assert!(round == 0 || !heads.is_empty(), "no stream was begun");
        assert!(heads.windows(2).all(|two| two[0] == two[1]), "not all had everything: {heads:?}");
        let (status, _) = hub.ended().await;
        assert!(status.success(), "{status}");
        assert!(!hub.stderr().contains("cut connections"), "{}", hub.stderr());
    }
}

/// Reads a stream to its end. Returns its last position, or `None` if there was no stream.
async fn join_until_the_end(address: std::net::SocketAddr, number: u64) -> Option<u64> {
    // The connection is refused, as the hub no longer listens.
    let socket = tokio::net::TcpStream::connect(address).await.ok()?;
    let mut connection = HttpConnection { socket, buffer: Vec::new() };
    let target = if number.is_multiple_of(4) { "/stream?channel=a&channel=b" } else { "/stream?channel=a" };
    let mut ask = request_bytes(address, "GET", target, &[], b"");
    if number.is_multiple_of(3) {
        ask = [request_bytes(address, "GET", "/healthz", &[], b""), ask].concat();
    }
    connection.socket.write_all(&ask).await.ok()?;
    // The connection was closed before the request was read.
    if !matches!(connection.fill(64 * 1024).await, Ok(true)) {
        assert!(connection.buffer.is_empty());
        return None;
    }
    if number.is_multiple_of(3) {
        assert_eq!(connection.response("GET").await.text(), "alive\n");
        if connection.buffer.is_empty() && !matches!(connection.fill(64 * 1024).await, Ok(true)) {
            return None;
        }
    }
    let mut stream = EventStream::read_head(connection).await;
    let rest = stream.rest().await;
    assert!(matches!(rest.last(), Some(Item::Retry(_))), "{number}: no last block: {rest:?}");
    let body = String::from_utf8_lossy(&stream.body).into_owned();
    if !body.contains("id: ") {
        // The hub was stopping and sent a time to reconnect.
        assert!(rest.len() == 1, "{number}: {body:?}");
        return None;
    }
    let mut at = beginning(&mut stream).await;
    for item in &rest {
        if let Item::Message(message) = item {
            check_next(&mut at, message);
        }
    }
    Some(at)
}

/// A client may close its side before, while or after its stream leaves hyper. It is removed each time, whatever it
/// requested before.
#[tokio::test]
async fn a_client_that_disconnects_at_any_moment_is_removed() {
    let hub = TIDECAST.serve(&["--keep-alive", "0"]);
    let mut going = JoinSet::new();
    for number in 0..STREAMS as u64 {
        let address = hub.address;
        going.spawn(async move {
            let mut connection = HttpConnection::open(address).await;
            let ask = request_bytes(address, "GET", "/stream?channel=a", &[], b"");
            let alive = request_bytes(address, "GET", "/healthz", &[], b"");
            let pipelined = match number % 4 {
                0 => ask,
                1 => [alive.clone(), alive, ask].concat(),
                2 => [ask, alive].concat(),
                _ => [alive.clone(), ask, alive].concat(),
            };
            connection.send(&pipelined).await;
            if number.is_multiple_of(2) {
                tokio::time::sleep(Duration::from_micros(number * 7)).await;
            }
            connection.socket.shutdown().await.unwrap();
            // Reads until the hub closes its side.
            while matches!(connection.fill(64 * 1024).await, Ok(true)) {}
        });
    }
    publish(&hub, 50).await;
    while let Some(gone) = within("their end", going.join_next()).await {
        gone.unwrap();
    }
    hub.until_metric("tidecast_streams", 0).await;
    hub.until_metric("tidecast_subscriptions", 0).await;
    hub.until_metric("tidecast_connections", 1).await;
    let mut stream = hub.stream("/stream?channel=a&last=1").await;
    assert_eq!(stream.message().await.data, "50");
}
