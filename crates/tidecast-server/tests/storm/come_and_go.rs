//! Thousands of streams open and end, again and again: the hub frees their descriptors and memory.

use std::{io::Write, net::TcpStream, time::Duration};

use tidecast_test::{HubProcess, eventually, request_bytes};

use crate::TIDECAST;
use crate::{alone, as_many_as_fit};

const CLIENTS: usize = 15_000;
const ROUNDS: usize = 5;

/// The number of clients that connect before the test waits for the hub: below the length of the accept queue.
const AT_ONCE: usize = 1_000;

/// How much the hub may grow between the first round and the last.
const GROWTH_BYTES_MAX: usize = 4 << 20;

fn files(hub: &HubProcess) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", hub.pid())).unwrap().count()
}

/// Returns the bytes that a client sends, by its number: most request a stream, some send half a request.
fn bytes_to_send(hub: &HubProcess, number: usize) -> Vec<u8> {
    let stream = |query: &str| request_bytes(hub.address, "GET", &format!("/stream?{query}"), &[], b"");
    match number % 100 {
        0 => Vec::new(),
        1 => b"GET /str".to_vec(),
        2..10 => stream("channel=a&channel=b"),
        10..20 => stream(&format!("channel=c{}&open=1", number % 50)),
        20..30 => [request_bytes(hub.address, "GET", "/healthz", &[], b""), stream("channel=a&last=3")].concat(),
        _ => stream("channel=a"),
    }
}

#[tokio::test]
async fn thousands_of_clients_leave_no_descriptor_and_no_memory() {
    let _alone = alone().await;
    let clients = as_many_as_fit(CLIENTS);
    // Long enough for half requests to stay until all clients have connected.
    let hub = TIDECAST.serve(&["--keep-alive", "1m", "--header-timeout", "10m"]);
    for channel in ["a", "b"] {
        hub.publish(&format!(r#"{{"channel":"{channel}","data":"first"}}"#)).await;
    }
    hub.until_metric("tidecast_connections", 1).await;
    let files_before = files(&hub);
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        let mut there = Vec::with_capacity(clients);
        let mut streams = 0;
        for number in 0..clients {
            // With system calls, as registering each socket with a runtime would take most of the time.
            let mut socket = TcpStream::connect(hub.address).unwrap();
            let bytes_to_send = bytes_to_send(&hub, number);
            streams += u64::from(bytes_to_send.ends_with(b"\r\n\r\n"));
            socket.write_all(&bytes_to_send).unwrap();
            there.push(socket);
            if there.len().is_multiple_of(AT_ONCE) {
                hub.until_metric("tidecast_connections", there.len() as u64 + 1).await;
            }
        }
        hub.until_metric("tidecast_streams", streams).await;
        hub.publish(r#"{"channel":"a","data":"to all"}"#).await;
        assert!(files(&hub) >= clients);
        // Most are reset at once, as when a network fails; some close properly, some of them with unread bytes.
        for (number, socket) in there.into_iter().enumerate() {
            if number % 10 != round {
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
        hub.until_metric("tidecast_streams", 0).await;
        hub.until_metric("tidecast_subscriptions", 0).await;
        hub.until_metric("tidecast_connections", 1).await;
        eventually("as few files as before", async || files(&hub) <= files_before).await;
        resident.push(hub.resident_bytes());
    }
    println!("{clients} clients; resident after each round: {resident:?}");
    eventually("as little memory as before", async || {
        hub.resident_bytes() <= resident[0].saturating_add(GROWTH_BYTES_MAX)
    })
    .await;
    let mut stream = hub.stream("/stream?channel=a&last=1").await;
    assert_eq!(stream.message().await.data, "to all");
}
