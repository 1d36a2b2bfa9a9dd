//! How long a connection may take for a request, and for none.

use std::time::Duration;

use tidecast_test::{HttpConnection, HubProcess, request_bytes, within};

use crate::{TIDECAST, support::Bystander};

/// A publish, which a connection that says nothing else has answered before hyper, and a request that hyper answers.
fn requests(hub: &HubProcess) -> [Vec<u8>; 2] {
    let text = [("Content-Type", "text/plain")];
    [
        request_bytes(hub.address, "POST", "/publish?channel=other", &text, b"x"),
        request_bytes(
            hub.address,
            "POST",
            "/publish",
            &[("Content-Type", "application/json")],
            br#"{"channel":"a","data":1}"#,
        ),
    ]
}

/// The time for a request's head was that of an idle connection as well, and shorter than the pools of clients keep theirs:
/// of a hundred publishers in Go some sent a request while the hub closed.
#[tokio::test]
async fn an_idle_connection_has_a_time_of_its_own() {
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
    // A connection that never said anything is not idle, but slow with its first request.
    assert!(HttpConnection::open(hub.address).await.is_cut().await);

    let hub = TIDECAST.serve(&["--header-timeout", "10m", "--idle-timeout", "200ms"]);
    for request in requests(&hub) {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&request).await;
        assert_eq!(connection.response("POST").await.head.status, 200);
        assert!(connection.is_cut().await);
    }
}

/// After one publish a byte now and then of the next request kept a connection for ever: each counted as a sign of life.
#[tokio::test]
async fn times_count_from_a_requests_first_byte() {
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
            let said = String::from_utf8_lossy(&connection.buffer).into_owned();
            let expected = if name == "head" { said.is_empty() } else { said.starts_with("HTTP/1.1 408 ") };
            assert!(expected, "{name}: {said}");
            bystander.receives_the_next_event(name).await;
        }
    }
}
