//! Time-outs of connections with a request and without.

use std::time::Duration;

use tidecast_test::{HttpConnection, HubProcess, request_bytes, within};

use crate::{TIDECAST, support::Bystander};

/// Returns a publish request for hyper, and one that the fast path answers.
fn requests(hub: &HubProcess) -> [Vec<u8>; 2] {
    let text = [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")];
    [
        request_bytes(hub.address, "POST", "/publish?channel=other", &text, b"1\r\nx\r\n0\r\n\r\n"),
        request_bytes(
            hub.address,
            "POST",
            "/publish",
            &[("Content-Type", "application/json")],
            br#"{"channel":"a","data":1}"#,
        ),
    ]
}

/// The time-out of a request's head also closed idle connections, and was shorter than the idle time of clients' pools:
/// of a hundred publishers in Go some sent a request while the hub closed the connection.
#[tokio::test]
async fn an_idle_connection_has_its_own_timeout() {
    let hub = TIDECAST.serve(&["--header-timeout", "200ms", "--idle-timeout", "10m"]);
    for request in requests(&hub) {
        let mut connection = HttpConnection::open(hub.address).await;
        for _ in 0..3 {
            connection.send(&request).await;
            assert_eq!(connection.response("POST").await.head.status, 200);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        connection.send(&request).await;
        assert_eq!(connection.response("POST").await.head.status, 200);
    }
    // A connection without any request is slow, not idle.
    assert!(HttpConnection::open(hub.address).await.is_cut().await);

    let hub = TIDECAST.serve(&["--header-timeout", "10m", "--idle-timeout", "200ms"]);
    for request in requests(&hub) {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&request).await;
        assert_eq!(connection.response("POST").await.head.status, 200);
        assert!(connection.is_cut().await);
    }
}

/// After one publish, a byte of the next request now and then kept a connection open for ever.
#[tokio::test]
async fn timeouts_count_from_the_first_byte_of_a_request() {
    let hub = TIDECAST.serve(&["--header-timeout", "500ms", "--body-timeout", "500ms", "--idle-timeout", "10m"]);
    let mut bystander = Bystander::new(&hub).await;
    for first in requests(&hub) {
        let head = format!("POST /publish HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", hub.address);
        for (name, start) in [("head", format!("{head}X: ")), ("body", format!("{head}Content-Length: 100000\r\n\r\n"))]
        {
            let mut connection = HttpConnection::open(hub.address).await;
            connection.send(&first).await;
            assert_eq!(connection.response("POST").await.head.status, 200);
            connection.send(start.as_bytes()).await;
            within("the cut", async {
                while connection.socket.try_write(b"a").is_ok() {
                    let reading = tokio::time::timeout(Duration::from_millis(20), connection.fill(1024)).await;
                    if matches!(reading, Ok(Ok(false) | Err(_))) {
                        break;
                    }
                }
            })
            .await;
            let output = String::from_utf8_lossy(&connection.buffer).into_owned();
            let expected = if name == "head" { output.is_empty() } else { output.starts_with("HTTP/1.1 408 ") };
            assert!(expected, "{name}: {output}");
            bystander.receives_the_next_event(name).await;
        }
    }
}
