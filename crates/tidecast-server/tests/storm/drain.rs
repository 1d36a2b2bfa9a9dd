//! The hub stops while a thousand streams have a backlog: all receive it, and a client that reads nothing does not
//! delay the end.

use std::time::Duration;

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, HubProcess, Signal, request_bytes, within};
use tokio::task::JoinSet;

use crate::TIDECAST;
use crate::{alone, as_many_as_fit};

const STREAMS: usize = 1_000;
const EVENTS: usize = 12;

fn data(number: usize) -> String {
    format!("{number}|{}", "d".repeat(4_000 + number))
}

/// Opens streams with small receive buffers and reads their first blocks.
async fn streams(hub: &HubProcess, count: usize) -> Vec<EventStream> {
    let mut streams = Vec::new();
    for number in 0..count {
        let mut connection = HttpConnection::open_with_receive_buffer(hub.address, 4 * 1024).await;
        let target = if number % 10 == 0 { "/stream?channel=a&channel=b" } else { "/stream?channel=a" };
        connection.send(&request_bytes(hub.address, "GET", target, &[], b"")).await;
        let mut stream = EventStream::read_head(connection).await;
        stream.until_live().await;
        streams.push(stream);
    }
    streams
}

async fn publish(hub: &HubProcess) {
    let events: Vec<_> =
        (0..EVENTS).map(|number| serde_json::json!({ "channel": "a", "data": data(number) })).collect();
    hub.publish(&serde_json::Value::from(events).to_string()).await;
}

/// Reads to the proper end, which follows all events.
async fn check(mut stream: EventStream) {
    let rest = stream.rest().await;
    assert!(matches!(rest.last(), Some(Item::Retry(_))), "{:?}", rest.last());
    let messages = rest.iter().filter_map(|item| if let Item::Message(message) = item { Some(message) } else { None });
    let mut count = 0;
    for message in messages {
        assert!(message.data == data(count), "{:.40} for event {count}", message.data);
        count += 1;
    }
    assert_eq!(count, EVENTS);
}

#[tokio::test]
async fn a_thousand_streams_receive_their_backlog() {
    let _alone = alone().await;
    let mut hub = TIDECAST.serve(&["--send-buffer", "4KiB", "--stop-timeout", "10m", "--stall-timeout", "10m"]);
    let streams = streams(&hub, as_many_as_fit(STREAMS)).await;
    hub.until_metric("tidecast_connections_detached_total", streams.len() as u64).await;
    publish(&hub).await;
    hub.signal(Signal::TERM);
    let mut readers = JoinSet::new();
    for stream in streams {
        readers.spawn(check(stream));
    }
    while let Some(reader) = within("the readers", readers.join_next()).await {
        reader.unwrap();
    }
    assert!(hub.ended().await.0.success());
    assert!(!hub.stderr().contains("cut connections"), "{}", hub.stderr());
}

/// One client reads nothing. The others have room for everything, so that they receive it whenever they read.
#[tokio::test]
async fn a_client_that_reads_nothing_does_not_delay_the_end() {
    const STOP_TIMEOUT: Duration = Duration::from_secs(3);
    let _alone = alone().await;
    let mut hub = TIDECAST.serve(&["--stop-timeout", "3s", "--stall-timeout", "10m"]);
    let mut healthy = JoinSet::new();
    for _ in 0..as_many_as_fit(STREAMS) {
        let mut stream = hub.stream("/stream?channel=a").await;
        stream.until_live().await;
        healthy.spawn(check(stream));
    }
    let stalled = streams(&hub, 1).await;
    hub.until_metric("tidecast_connections_detached_total", healthy.len() as u64 + 1).await;
    publish(&hub).await;
    hub.signal(Signal::TERM);
    let (status, took) = hub.ended().await;
    assert!(status.success(), "{status}");
    assert!(took < STOP_TIMEOUT * 10, "{took:?}");
    while let Some(reader) = within("the readers", healthy.join_next()).await {
        reader.unwrap();
    }
    drop(stalled);
}
