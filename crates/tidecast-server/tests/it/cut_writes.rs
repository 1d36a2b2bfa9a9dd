//! A client reads the same bytes wherever the socket interrupts a write.
//!
//! Socket buffers are as small as the system allows, frames have every length, and clients read as little as one byte
//! at a time, so that writes end at every possible place.

use tidecast_test::{BROWSER_HEADERS, EventStream, HttpConnection, HubProcess, request_bytes, within};
use tokio::task::JoinSet;

use crate::TIDECAST;

/// Frames have every length up to this one, and the lengths around the sizes of the hub's reads, frames and copies.
const SHORT_MAX: usize = 500;
const LONG: [usize; 12] = [4_095, 4_608, 8_191, 16_200, 16_383, 16_384, 16_385, 32_768, 65_400, 65_535, 65_536, 70_000];

fn data(number: usize, bytes: usize) -> String {
    let filler = (b'a' + (number % 26) as u8) as char;
    format!("{number}|{}", filler.to_string().repeat(bytes))
}

/// Opens a stream with a minimal receive buffer and reads its first block.
async fn open_with_minimal_buffer(hub: &HubProcess, target: &str) -> EventStream {
    let mut connection = HttpConnection::open_with_receive_buffer(hub.address, 1).await;
    connection.send(&request_bytes(hub.address, "GET", target, BROWSER_HEADERS, b"")).await;
    let mut stream = EventStream::read_head(connection).await.keep_all();
    stream.until_live().await;
    stream
}

#[tokio::test]
async fn a_stream_is_the_same_wherever_its_writes_are_interrupted() {
    let hub = TIDECAST.serve(&["--send-buffer", "1", "--stall-timeout", "10m", "--keep-alive", "0"]);
    let mut sizes: Vec<usize> = (0..SHORT_MAX).collect();
    sizes.extend(LONG);
    fastrand::Rng::with_seed(11).shuffle(&mut sizes);

    let mut healthy = hub.stream("/stream?channel=a").await.keep_all();
    healthy.until_live().await;
    let mut readers = JoinSet::new();
    // Each read takes one byte more than the one before, up to this number, and then one byte again.
    for (steps_max, target) in [
        (3, "/stream?channel=a"),
        (61, "/stream?channel=a"),
        (997, "/stream?channel=a"),
        (16_411, "/stream?channel=a"),
        (61, "/stream?channel=a&channel=b"),
        (997, "/stream?channel=a&channel=b"),
    ] {
        let mut stream = open_with_minimal_buffer(&hub, target).await;
        let events = sizes.len();
        readers.spawn(async move {
            let (mut messages, mut step, mut read) = (Vec::new(), 0, 0);
            while messages.len() < events {
                step = step % steps_max + 1;
                // Small reads take long, so they grow after this many bytes.
                let piece = if read < 60_000 { step } else { step * 40 };
                assert!(within("a piece", stream.fill(piece)).await);
                read += piece;
                messages.extend(std::iter::from_fn(|| stream.take_item()));
                messages.retain(|item| matches!(item, tidecast::wire::Item::Message(_)));
            }
            (target, stream, messages)
        });
    }
    hub.until_metric("tidecast_connections_detached_total", 7).await;
    // In batches while the clients read, so that the hub sees backlogs of all sizes.
    let mut number = 0;
    let mut expected = Vec::new();
    for batch in sizes.chunks(9) {
        let mut events = Vec::new();
        for bytes in batch {
            expected.push(data(number, *bytes));
            events.push(serde_json::json!({ "channel": "a", "data": expected[number] }));
            number += 1;
        }
        hub.publish(&serde_json::Value::from(events).to_string()).await;
        for text in &expected[number - batch.len()..] {
            assert!(healthy.message().await.data == *text);
        }
    }
    while let Some(reader) = within("the readers", readers.join_next()).await {
        let (target, stream, messages) = reader.unwrap();
        for (item, text) in messages.iter().zip(&expected) {
            let tidecast::wire::Item::Message(message) = item else { panic!("{item:?}") };
            assert!(message.data == *text, "{target}: {:.40} where there was {text:.40}", message.data);
        }
        if target == "/stream?channel=a" {
            assert!(stream.body == healthy.body, "{target}: a byte of {} is another", healthy.body.len());
        }
    }
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 0);
}
