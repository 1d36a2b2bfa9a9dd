//! Clients that stop reading: they hurt nobody, cost little, and are cut, or told what they missed once they read again.

use std::time::{Duration, Instant};

use tidecast_test::{EventStream, HttpConnection, HubProcess, request_bytes, within};
use tokio::{net::TcpSocket, task::JoinSet};

use crate::TIDECAST;

const STALLED: usize = 64;
const EVENT_BYTES: usize = 256 * 1024;

/// A stream whose client has little room of its own, so that what it does not read stays with the hub.
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

/// Data that shows where it was torn, if it was.
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

/// The memory that the process holds.
#[cfg(target_os = "linux")]
fn resident_bytes(hub: &HubProcess) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What waits in the kernel to be sent, for each connection of the hub.
#[cfg(target_os = "linux")]
fn waiting_in_kernel(hub: &HubProcess) -> Vec<usize> {
    let port = format!(":{:04X}", hub.address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Local address, remote address, state (01 is established), then what waits to be sent and to be read.
    rows.filter(|row| row.len() > 4 && row[1].ends_with(&port) && row[3] == "01")
        .map(|row| usize::from_str_radix(row[4].split(':').next().unwrap(), 16).unwrap())
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn stalled_readers_cost_little_and_hurt_nobody() {
    const EVENTS: usize = 800;
    let hub = TIDECAST.serve(&["--log-events", "100", "--log-bytes", "4MiB", "--stall-timeout", "10m"]);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(small_stream(&hub, "/stream").await);
    }
    let mut healthy = hub.stream("/stream").await;
    let before = resident_bytes(&hub);
    let mut publisher = HttpConnection::open(hub.address).await;
    let (mut resident_max, mut kernel_max) = (0, 0);
    for number in 0..EVENTS {
        publish(&mut publisher, &hub, &data(number, EVENT_BYTES)).await;
        // Step by step, so that being healthy is no matter of luck.
        assert_eq!(number_of(&healthy.message().await.data, EVENT_BYTES), number);
        if number % 20 == 0 {
            resident_max = resident_max.max(resident_bytes(&hub));
            kernel_max = kernel_max.max(waiting_in_kernel(&hub).into_iter().max().unwrap_or_default());
        }
    }
    println!("published {} MiB; process {before} to {resident_max}, kernel {kernel_max}", (EVENTS * EVENT_BYTES) >> 20);
    // A cursor, and what hyper holds for one connection: a frame or two. The log and the allocator's slack besides.
    assert!(resident_max < before + STALLED * 3 * EVENT_BYTES + (48 << 20), "{before} to {resident_max}");
    // Twice 128 KiB is what Linux makes of the option; it counts its own overhead too, so that it is never all data.
    assert!(kernel_max <= 2 * 128 * 1024 + 64 * 1024, "{kernel_max}");
    assert!(kernel_max > 0, "nobody stalled");

    // Now they read again: what was on its way, whole, then one reset, then what the log still has.
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
async fn who_takes_nothing_for_too_long_is_cut() {
    let hub = TIDECAST.serve(&["--stall-timeout", "500ms"]);
    let mut stalled = Vec::new();
    for _ in 0..8 {
        stalled.push(small_stream(&hub, "/stream").await);
    }
    let mut healthy = hub.stream("/stream").await;
    let mut publisher = HttpConnection::open(hub.address).await;
    let begun = Instant::now();
    for number in 0..8 {
        publish(&mut publisher, &hub, &data(number, EVENT_BYTES)).await;
        assert_eq!(number_of(&healthy.message().await.data, EVENT_BYTES), number);
    }
    hub.until_metric("tidecast_connections_stalled_total", 8).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    hub.until_metric("tidecast_subscriptions", 1).await;
    // The cut is seen by the client once it reads: no proper end.
    for mut stream in stalled {
        let reading = async { while matches!(stream.connection.fill(64 * 1024).await, Ok(true)) {} };
        within("the cut", reading).await;
        assert!(!stream.connection.buffer.ends_with(b"0\r\n\r\n"));
    }
    // Who merely has nothing to take is not cut.
    publish(&mut publisher, &hub, "still there").await;
    assert_eq!(healthy.message().await.data, "still there");
}

/// Taking a little now and then is taking something.
#[tokio::test]
async fn a_slow_reader_is_not_a_stalled_one() {
    const STALL_TIMEOUT: Duration = Duration::from_secs(3);
    const EVENTS: usize = 7;
    let hub = TIDECAST.serve(&["--stall-timeout", "3s", "--send-buffer", "16KiB"]);
    let mut slow = small_stream(&hub, "/stream").await;
    let events: Vec<_> = (0..EVENTS).map(|number| serde_json::json!({ "data": data(number, EVENT_BYTES) })).collect();
    hub.publish(&serde_json::Value::from(events).to_string()).await;
    let begun = Instant::now();
    let mut number = 0;
    while number < EVENTS {
        // So little at a time that it takes longer than whoever takes nothing is given, and then all the rest.
        let is_slow = begun.elapsed() < STALL_TIMEOUT * 4 / 3;
        if is_slow {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        slow.fill(if is_slow { 8 * 1024 } else { 64 * 1024 }).await;
        while let Some(item) = slow.take_item() {
            if let tidecast::wire::Item::Message(message) = item {
                assert_eq!(number_of(&message.data, EVENT_BYTES), number);
                number += 1;
            }
        }
    }
    assert!(begun.elapsed() > STALL_TIMEOUT, "it was not slow");
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 0);
}

/// A stream's lifetime was not kept while its client took nothing: the client kept its place for the whole stall timeout.
#[tokio::test]
async fn a_stalled_stream_ends_with_its_lifetime() {
    let hub = TIDECAST.serve(&["--stream-lifetime", "3s", "--stall-timeout", "10m", "--send-buffer", "16KiB"]);
    let mut stalled = small_stream(&hub, "/stream").await;
    let mut publisher = HttpConnection::open(hub.address).await;
    for number in 0..8 {
        publish(&mut publisher, &hub, &data(number, EVENT_BYTES)).await;
    }
    hub.until_metric("tidecast_subscriptions", 0).await;
    hub.until_metric("tidecast_streams", 0).await;
    assert_eq!(hub.metric("tidecast_connections_stalled_total").await, 0);
    // The connection was cut: its client took nothing, so not the end of the stream either.
    let reading = async { while matches!(stalled.connection.fill(64 * 1024).await, Ok(true)) {} };
    within("the cut", reading).await;
    assert!(!stalled.connection.buffer.ends_with(b"0\r\n\r\n"));
}
