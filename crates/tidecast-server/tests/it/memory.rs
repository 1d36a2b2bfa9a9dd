//! The memory of clients that read nothing is returned to the system after they are cut off, with jemalloc.

use std::time::{Duration, Instant};

use tidecast_test::{EventStream, HttpConnection, HubProcess, eventually, request_bytes};

use crate::TIDECAST;

const STALLED: usize = 200;

/// Returns the private memory of the process.
fn memory_bytes(hub: &HubProcess) -> usize {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", hub.pid())).unwrap();
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    (kib("Private_Clean:") + kib("Private_Dirty:")) * 1024
}

async fn stall(hub: &HubProcess, target: &str) -> EventStream {
    let mut connection = HttpConnection::open_with_receive_buffer(hub.address, 4 * 1024).await;
    connection.send(&request_bytes(hub.address, "GET", target, &[], b"")).await;
    let mut stream = EventStream::read_head(connection).await;
    stream.until_live().await;
    stream
}

/// A stream of several channels keeps a copy of unwritten bytes, enough to show in the process' memory.
#[tokio::test]
async fn clients_that_read_nothing_are_cut_off_and_their_memory_is_returned() {
    const STALL_TIMEOUT: Duration = Duration::from_secs(2);
    const SLACK: usize = 2 << 20;
    let hub =
        TIDECAST.serve(&["--stall-timeout", "2s", "--send-buffer", "4KiB", "--log-bytes", "1MiB", "--keep-alive", "0"]);
    let publish = async || {
        // At most one read, of which a connection keeps the unwritten rest.
        let event = serde_json::json!({ "channel": "a", "data": "m".repeat(60_000) });
        hub.publish(&event.to_string()).await;
    };
    // Two rounds, as the first fills the log and buffers that are kept.
    let (mut before, mut rounds) = (0, 0);
    while rounds < 2 {
        rounds += 1;
        let mut healthy = hub.stream("/stream?channel=a").await;
        let mut stalled = Vec::new();
        for number in 0..STALLED {
            let target = if number % 2 == 0 { "/stream?channel=a" } else { "/stream?channel=a&channel=b" };
            stalled.push(stall(&hub, target).await);
        }
        hub.until_metric("tidecast_connections_detached_total", (rounds * (STALLED + 1)) as u64).await;
        let started = Instant::now();
        for _ in 0..20 {
            publish().await;
            healthy.message().await;
        }
        let holding = memory_bytes(&hub);
        hub.until_metric("tidecast_connections_stalled_total", (rounds * STALLED) as u64).await;
        assert!(started.elapsed() < STALL_TIMEOUT * 10, "{:?}", started.elapsed());
        hub.until_metric("tidecast_streams", 1).await;
        hub.until_metric("tidecast_connections", 2).await;
        drop((healthy, stalled));
        hub.until_metric("tidecast_connections", 1).await;
        println!("round {rounds}: {} KiB while they stalled, {} KiB after", holding >> 10, memory_bytes(&hub) >> 10);
        if rounds == 1 {
            before = memory_bytes(&hub);
        }
    }
    eventually("memory", async || memory_bytes(&hub) < before + SLACK).await;
}
