//! Clients that stop reading do not affect others and take little memory. They are cut off, or get a reset once they
//! read again.

use std::time::{Duration, Instant};

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, HubProcess, request_bytes, within};
use tokio::{net::TcpSocket, task::JoinSet};

use crate::TIDECAST;

const STALLED: usize = 64;
const EVENT_BYTES: usize = 256 * 1024;

/// Opens a stream with a small receive buffer, so that unread data stay with the hub.
async fn small_stream(hub: &HubProcess, target: &str) -> EventStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let socket = within("connecting", socket.connect(hub.address)).await.unwrap();
    let mut connection = HttpConnection { socket, buffer: Vec::new() };
    connection.send(&request_bytes(hub.address, "GET", target, &[], b"")).await;
    let mut stream = EventStream::read_head(connection).await;
    stream.until_live().await;
    stream
}

/// Returns data with a number at every place, so that a torn event is found.
fn data(number: usize, bytes: usize) -> String {
    let begin = format!("{number}|");
    let filler = (number % 10).to_string().repeat(bytes - begin.len() - 1);
    format!("{begin}{filler}.")
}

fn number_of(text: &str, bytes: usize) -> usize {
    let number = text.split('|').next().and_then(|number| number.parse().ok()).expect("data begin with their number");
    assert!(text == data(number, bytes), "event {number} was torn");
    number
}

async fn publish(connection: &mut HttpConnection, hub: &HubProcess, body: &str) {
    let text = [("Content-Type", "text/plain")];
    connection.send(&request_bytes(hub.address, "POST", "/publish", &text, body.as_bytes())).await;
    assert_eq!(connection.response("POST").await.head.status, 200);
}

/// Returns how many bytes wait in the kernel to be sent on each connection of the hub.
#[cfg(target_os = "linux")]
fn waiting_in_kernel(hub: &HubProcess) -> Vec<usize> {
    let port = format!(":{:04X}", hub.address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The fields: local address, remote address, state (01 is established), then the bytes that wait to be sent and to
    // be read.
    rows.filter(|row| row.len() > 4 && row[1].ends_with(&port) && row[3] == "01")
        .map(|row| usize::from_str_radix(row[4].split(':').next().unwrap(), 16).unwrap())
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn stalled_readers_take_little_memory_and_do_not_affect_others() {
    const EVENTS: usize = 800;
    let hub = TIDECAST.serve(&["--log-events", "100", "--log-bytes", "4MiB", "--stall-timeout", "10m"]);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(small_stream(&hub, "/stream").await);
    }
    let mut healthy = hub.stream("/stream").await;
    let before = hub.resident_bytes();
    let mut publisher = HttpConnection::open(hub.address).await;
    let (mut resident_max, mut kernel_max) = (0, 0);
    for number in 0..EVENTS {
        publish(&mut publisher, &hub, &data(number, EVENT_BYTES)).await;
        // In steps that healthy clients read, so that they cannot fall behind.
        assert_eq!(number_of(&healthy.message().await.data, EVENT_BYTES), number);
        if number % 20 == 0 {
            resident_max = resident_max.max(hub.resident_bytes());
            kernel_max = kernel_max.max(waiting_in_kernel(&hub).into_iter().max().unwrap_or_default());
        }
    }
    println!("published {} MiB; process {before} to {resident_max}, kernel {kernel_max}", (EVENTS * EVENT_BYTES) >> 20);
    // A cursor and a frame or two in hyper for each connection, beside the log and unused memory of the allocator.
    assert!(resident_max < before + STALLED * 3 * EVENT_BYTES + (48 << 20), "{before} to {resident_max}");
    // Linux doubles the option's 128 KiB for its own overhead, so the data are always less.
    assert!(kernel_max <= 2 * 128 * 1024 + 64 * 1024, "{kernel_max}");
    assert!(kernel_max > 0, "nobody stalled");

    // The clients read again: the events on their way, whole, then one reset, then the retained events.
    let mut readers = JoinSet::new();
    for mut stream in stalled {
        readers.spawn(async move {
            let (mut expected, mut resets) = (0, 0);
            while expected < EVENTS {
                let message = stream.message().await;
                if message.event_type == "stream-reset" {
                    let told: serde_json::Value = serde_json::from_str(&message.data).unwrap();
                    assert_eq!(told["reason"], "too-slow");
                    assert_eq!(told["resumed_at"], message.last_event_id.as_str());
                    let (_, offset) = message.last_event_id.split_once('.').unwrap();
                    let resumed: usize = offset.parse().unwrap();
                    assert!(resumed > expected, "a reset that skips nothing");
                    // Offsets begin at 1, so the event after the position has this number.
                    expected = resumed;
                    resets += 1;
                    continue;
                }
                assert_eq!(number_of(&message.data, EVENT_BYTES), expected);
                expected += 1;
            }
            resets
        });
    }
    while let Some(resets) = within("the readers", readers.join_next()).await {
        assert_eq!(resets.unwrap(), 1);
    }
    assert_eq!(hub.metric("tidecast_resets_total{reason=\"too-slow\"}").await, STALLED as u64);
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_for_too_long_is_cut_off() {
    let hub = TIDECAST.serve(&["--stall-timeout", "500ms"]);
    let mut stalled = Vec::new();
    for _ in 0..8 {
        stalled.push(small_stream(&hub, "/stream").await);
    }
    let mut healthy = hub.stream("/stream").await;
    let mut publisher = HttpConnection::open(hub.address).await;
    let started = Instant::now();
    for number in 0..8 {
        publish(&mut publisher, &hub, &data(number, EVENT_BYTES)).await;
        assert_eq!(number_of(&healthy.message().await.data, EVENT_BYTES), number);
    }
    hub.until_metric("tidecast_connections_stalled_total", 8).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    hub.until_metric("tidecast_subscriptions", 1).await;
    // The client sees the cut once it reads: the stream has no proper end.
    for mut stream in stalled {
        let reading = async { while matches!(stream.connection.fill(64 * 1024).await, Ok(true)) {} };
        within("the cut", reading).await;
        assert!(!stream.connection.buffer.ends_with(b"0\r\n\r\n"));
    }
    // A client without anything to read is not cut off.
    publish(&mut publisher, &hub, "still there").await;
    assert_eq!(healthy.message().await.data, "still there");
}

/// A client that reads slowly is not stalled.
#[tokio::test]
async fn a_slow_reader_is_not_cut_off() {
    const STALL_TIMEOUT: Duration = Duration::from_secs(3);
    const EVENTS: usize = 7;
    let hub = TIDECAST.serve(&["--stall-timeout", "3s", "--send-buffer", "16KiB"]);
    let mut slow = small_stream(&hub, "/stream").await;
    let events: Vec<_> = (0..EVENTS).map(|number| serde_json::json!({ "data": data(number, EVENT_BYTES) })).collect();
    hub.publish(&serde_json::Value::from(events).to_string()).await;
    let started = Instant::now();
    let mut number = 0;
    while number < EVENTS {
        // So little at a time that it takes longer than the stall time-out, and then all the rest.
        let is_slow = started.elapsed() < STALL_TIMEOUT * 4 / 3;
        if is_slow {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        slow.fill(if is_slow { 8 * 1024 } else { 64 * 1024 }).await;
        while let Some(item) = slow.take_item() {
            if let Item::Message(message) = item {
                assert_eq!(number_of(&message.data, EVENT_BYTES), number);
                number += 1;
            }
        }
    }
    assert!(started.elapsed() > STALL_TIMEOUT, "it was not slow");
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 0);
}

/// A client that takes nothing after the lifetime of its stream is cut, and counted once. The limit is 20 s, and at most the
/// stall timeout, which spares this test the wait.
#[tokio::test]
async fn a_stalled_stream_ends_with_its_lifetime() {
    let hub = TIDECAST.serve(&["--stream-lifetime", "1s", "--stall-timeout", "2s", "--send-buffer", "16KiB"]);
    let mut stalled = small_stream(&hub, "/stream").await;
    let mut publisher = HttpConnection::open(hub.address).await;
    for number in 0..8 {
        publish(&mut publisher, &hub, &data(number, EVENT_BYTES)).await;
    }
    hub.until_metric("tidecast_subscriptions", 0).await;
    hub.until_metric("tidecast_streams", 0).await;
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 1);
    // The connection was cut: its client took nothing, so not the end of the stream either.
    let reading = async { while matches!(stalled.connection.fill(64 * 1024).await, Ok(true)) {} };
    within("the cut", reading).await;
    assert!(!stalled.connection.buffer.ends_with(b"0\r\n\r\n"));
}

/// A client that read slowly was reset 2 s after the end of its stream's lifetime, with what the kernel had for it: of an
/// event that takes longer than that it never had all, and resumed at the same id for ever.
#[tokio::test]
async fn a_slow_reader_gets_the_rest_of_its_stream_after_the_lifetime() {
    let hub = TIDECAST.serve(&["--stream-lifetime", "1s", "--send-buffer", "16KiB"]);
    let mut slow = small_stream(&hub, "/stream").await;
    publish(&mut HttpConnection::open(hub.address).await, &hub, &data(0, EVENT_BYTES)).await;
    let started = Instant::now();
    // The socket's buffers hold less than what is left then.
    while started.elapsed() < Duration::from_millis(4_500) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        slow.fill(4 * 1024).await;
    }
    let rest = slow.rest().await;
    let [Item::Retry(_), Item::Message(message), Item::Retry(_)] = &rest[..] else { panic!("{} items", rest.len()) };
    assert_eq!(number_of(&message.data, EVENT_BYTES), 0);
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 0);
}

/// A client that keeps its connection by reading a few bytes has the stall timeout for the end of its stream.
#[tokio::test]
async fn the_end_of_a_stream_takes_at_most_the_stall_timeout() {
    let hub = TIDECAST.serve(&["--stream-lifetime", "1s", "--stall-timeout", "3s", "--send-buffer", "16KiB"]);
    let mut slow = small_stream(&hub, "/stream").await;
    publish(&mut HttpConnection::open(hub.address).await, &hub, &data(0, 2 * EVENT_BYTES)).await;
    let cut = async {
        while hub.metric("tidecast_connections_stalled_total").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            slow.fill(4 * 1024).await;
        }
    };
    within("the cut", cut).await;
    hub.until_metric("tidecast_streams", 0).await;
    let reading = async { while matches!(slow.connection.fill(64 * 1024).await, Ok(true)) {} };
    within("the end", reading).await;
    assert!(!slow.connection.buffer.ends_with(b"0\r\n\r\n"));
}
