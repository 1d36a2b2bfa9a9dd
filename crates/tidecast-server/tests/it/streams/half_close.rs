//! Clients that close their side after a request, as `nc -N`, `socat` and some health checks do, get a response.

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, HubProcess, request_bytes};
use tokio::io::AsyncWriteExt;

use crate::TIDECAST;

async fn send_and_close(hub: &HubProcess, bytes: &[u8]) -> HttpConnection {
    let mut connection = HttpConnection::open(hub.address).await;
    connection.send(bytes).await;
    connection.socket.shutdown().await.unwrap();
    connection
}

/// The hub closed these connections without a response.
#[tokio::test]
async fn a_complete_request_gets_a_response() {
    let hub = TIDECAST.serve(&[]);
    let json = [("Content-Type", "application/json")];
    let host = hub.address;
    for (method, bytes, expected) in [
        ("GET", request_bytes(host, "GET", "/healthz", &[], b""), "alive\n"),
        ("GET", request_bytes(host, "GET", "/readyz", &[], b""), "ready\n"),
        ("GET", format!("GET /healthz HTTP/1.0\r\nHost: {host}\r\n\r\n").into_bytes(), "alive\n"),
        // A request for the fast path, and one for hyper.
        ("POST", request_bytes(host, "POST", "/publish", &json, br#"{"data":1}"#), "\"receivers\":0"),
        (
            "POST",
            request_bytes(host, "POST", "/publish?channel=b", &[("Content-Type", "text/plain")], b"x"),
            "\"receivers\":0",
        ),
    ] {
        let mut connection = send_and_close(&hub, &bytes).await;
        let text = connection.response(method).await.text();
        assert!(text.contains(expected), "{text}");
        assert!(connection.is_cut().await, "and then the end");
    }
    // Several requests in one write all get responses.
    let health = request_bytes(host, "GET", "/healthz", &[], b"");
    let mut connection = send_and_close(&hub, &[&health[..], &health, &health].concat()).await;
    for _ in 0..3 {
        assert_eq!(connection.response("GET").await.text(), "alive\n");
    }
    // Half a request gets none.
    for part in ["GET /heal", "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhel"] {
        let mut connection = send_and_close(&hub, part.as_bytes()).await;
        while matches!(connection.fill(1024).await, Ok(true)) {}
        let output = String::from_utf8_lossy(&connection.buffer).into_owned();
        assert!(!output.starts_with("HTTP/1.1 200"), "{output}");
    }
    hub.until_metric("tidecast_connections", 1).await;
}

/// On a stream, such a client cannot be told from one that has gone. It gets the first block, the events it missed, and
/// the end.
#[tokio::test]
async fn a_stream_receives_its_backlog_and_ends() {
    let hub = TIDECAST.serve(&[]);
    hub.publish(r#"{"data":"before"}"#).await;
    for (target, body) in [
        ("/stream", &b""[..]),
        ("/stream?last=1", b""),
        ("/stream?channel=sse&channel=b&last=1", b""),
        // A stream that hyper serves.
        ("/stream?last=1", b"a body"),
    ] {
        let connection = send_and_close(&hub, &request_bytes(hub.address, "GET", target, &[], body)).await;
        let mut stream = EventStream::read_head(connection).await;
        let rest = stream.rest().await;
        let messages: Vec<_> = rest
            .iter()
            .filter_map(|item| if let Item::Message(message) = item { Some(&*message.data) } else { None })
            .collect();
        assert_eq!(messages.first().copied(), target.contains("last").then_some("before"), "{target}");
        assert!(!stream.last_event_id().is_empty(), "{target}");
    }
    // The same holds later.
    let mut stream = hub.stream("/stream").await;
    stream.until_live().await;
    stream.connection.socket.shutdown().await.unwrap();
    stream.rest().await;
    // The rest of a partly written event never arrived, nor the last chunk.
    let mut connection = HttpConnection::open_with_receive_buffer(hub.address, 64 * 1024).await;
    connection.send(&request_bytes(hub.address, "GET", "/stream?channel=large", &[], b"")).await;
    let mut stream = EventStream::read_head(connection).await;
    stream.until_live().await;
    let data = "x".repeat(1 << 20);
    hub.publish(&serde_json::json!({ "channel": "large", "data": data }).to_string()).await;
    assert!(stream.fill(1).await);
    stream.connection.socket.shutdown().await.unwrap();
    assert_eq!(stream.message().await.data.len(), data.len());
    stream.rest().await;
    let mut old = HttpConnection::open(hub.address).await;
    old.send(format!("GET /stream HTTP/1.0\r\nHost: {}\r\n\r\n", hub.address).as_bytes()).await;
    old.socket.shutdown().await.unwrap();
    let mut old = EventStream::read_head(old).await;
    old.rest().await;
    assert!(!old.last_event_id().is_empty());
    hub.until_metric("tidecast_streams", 0).await;
    hub.until_metric("tidecast_connections", 1).await;
}
