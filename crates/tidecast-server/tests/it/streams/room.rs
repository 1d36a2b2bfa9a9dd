//! Health checks and publishes have connections left, whatever readers and other clients without the key do.

use std::time::Duration;

use tidecast_test::{HttpConnection, HubProcess, request_bytes};
use tokio::{net::TcpSocket, time::timeout};

use crate::TIDECAST;

/// Checks that a publish and a health check succeed, each on a new connection.
async fn check_service(hub: &HubProcess, after: &str) {
    let key = [("Authorization", "Bearer k"), ("Content-Type", "text/plain")];
    let response = hub.request("POST", "/publish", &key, b"x").await;
    assert_eq!(response.head.status, 200, "after {after}");
    assert_eq!(hub.request("GET", "/healthz", &[], b"").await.text(), "alive\n", "after {after}");
}

/// Readers that were told to reconnect kept their connections open until no connection was left for publishes and
/// health checks. A GET whose body did not end, and unread responses, did not even count as idle.
#[tokio::test]
async fn clients_that_hold_connections_do_not_lock_out_others() {
    const STREAMS: usize = 8;
    const CONNECTIONS: usize = 12;
    let (streams_max, connections_max) = (STREAMS.to_string(), CONNECTIONS.to_string());
    let arguments = ["--publish-key", "k", "--streams-max", &streams_max, "--connections-max", &connections_max];
    // Long enough that nothing ends by a time-out.
    let hub = TIDECAST.serve(
        &[
            &arguments[..],
            &["--header-timeout", "10m", "--idle-timeout", "10m", "--body-timeout", "10m", "--stall-timeout", "10m"],
        ]
        .concat(),
    );
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(hub.stream("/stream").await);
    }
    let open = async |bytes: &[u8]| {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(bytes).await;
        connection
    };
    let stream = request_bytes(hub.address, "GET", "/stream", &[], b"");
    let health = request_bytes(hub.address, "GET", "/healthz", &[], b"");
    let part = b"GET /stream HTTP/1.1\r\nHost: loc";
    let unfinished =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nx", hub.address);
    let (alive, refused_stream) = (unfinished("/healthz"), unfinished("/stream"));
    let body = format!("POST /publish HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nx", hub.address);
    // More than all buffers hold.
    let pages = request_bytes(hub.address, "GET", "/console/console.css", &[], b"").repeat(1_000);
    let scripts = request_bytes(hub.address, "GET", "/tidecast.js", &[], b"").repeat(300);
    for (name, bytes) in [
        ("readers who are told to come back", &stream[..]),
        ("connections that say nothing", b""),
        ("connections that are kept", &health),
        ("half a request", part),
        ("bodies that nobody wants", body.as_bytes()),
        ("answers that nobody reads", &pages),
        ("small answers that nobody reads", &scripts),
        ("a GET with an unfinished body", alive.as_bytes()),
        ("a reader who is told to come back, with an unfinished body", refused_stream.as_bytes()),
    ] {
        let mut kept = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            kept.push(open(bytes).await);
        }
        check_service(&hub, name).await;
        drop(kept);
    }
    assert!(hub.get("/metrics").await.text().contains("tidecast_connections_closed_total{reason=\"idle\"}"));
    // All streams are still open.
    for stream in &mut streams {
        assert_eq!(stream.message().await.data, "x");
    }
}

/// In a burst near the limit, new connections were closed as idle before their requests were read.
#[tokio::test]
async fn every_request_of_a_burst_gets_a_response() {
    let hub = TIDECAST.serve(&["--connections-max", "30", "--streams-max", "20"]);
    let stream = request_bytes(hub.address, "GET", "/stream", &[], b"");
    let mut connections = Vec::new();
    for _ in 0..300 {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&stream).await;
        connections.push(connection);
    }
    for (number, connection) in connections.iter_mut().enumerate() {
        let answered = connection.fill(1024).await;
        assert!(matches!(answered, Ok(true)), "{number}: {answered:?}");
    }
}

#[tokio::test]
async fn the_connection_that_was_idle_for_longest_is_closed_first() {
    let hub = TIDECAST.serve(&["--connections-max", "4", "--streams-max", "2"]);
    let health = request_bytes(hub.address, "GET", "/healthz", &[], b"");
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&health).await;
        connection.response("GET").await;
        connections.push(connection);
    }
    // The first connection is used again, so that the second has been idle for longer.
    connections[0].send(&health).await;
    connections[0].response("GET").await;
    let mut next = HttpConnection::open(hub.address).await;
    next.send(&health).await;
    next.response("GET").await;
    assert!(connections[1].is_cut().await);
    for index in [0, 2, 3] {
        connections[index].send(&health).await;
        assert_eq!(connections[index].response("GET").await.text(), "alive\n", "{index}");
    }
}

#[tokio::test]
async fn the_connections_of_one_client_are_bounded() {
    let hub = TIDECAST.serve(&["--connections-per-client-max", "2"]);
    let first = hub.stream("/stream").await;
    let mut second = hub.stream("/stream").await;
    let mut third = HttpConnection::open(hub.address).await;
    assert!(third.is_cut().await);
    // Another address counts as another client.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = HttpConnection { socket: socket.connect(hub.address).await.unwrap(), buffer: Vec::new() };
    other.send(&request_bytes(hub.address, "POST", "/publish", &[("Content-Type", "text/plain")], b"x")).await;
    assert_eq!(other.response("POST").await.json()["receivers"], 2);
    assert_eq!(second.message().await.data, "x");
    // A new connection may follow a closed one.
    drop(first);
    let again = async {
        loop {
            let mut connection = HttpConnection::open(hub.address).await;
            // The connection may be closed before it has sent anything.
            let _ = connection.socket.try_write(&request_bytes(hub.address, "GET", "/healthz", &[], b""));
            if matches!(connection.fill(1024).await, Ok(true)) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(30), again).await.expect("a place");
}
