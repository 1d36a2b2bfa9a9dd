//! Malformed, slow and missing requests. Each gets an error response or a closed connection, and the streams of other
//! clients are not affected.

use std::time::{Duration, Instant};

use tidecast_test::{HttpConnection, request_bytes, within};
use tokio::io::AsyncWriteExt;

use crate::{TIDECAST, support::Bystander};

/// A 404 did not name the right path, nor a 405 the right method.
#[tokio::test]
async fn an_error_for_a_misspelt_path_names_the_right_one() {
    let hub = TIDECAST.serve(&[]);
    for target in ["/events", "/stream/", "/stream/news", "/sse"] {
        let response = hub.get(target).await;
        assert!(response.problem(404).contains("`/stream?channel=NAME`"), "{target}: {response:?}");
    }
    let response = hub.request("POST", "/publish/news", &[], b"x").await;
    assert!(response.problem(404).contains("POST to `/publish`"), "{response:?}");
    assert!(hub.get("/channels?x=1").await.problem(400).ends_with("the only known name is `after`"));
}

#[tokio::test]
async fn a_405_names_the_allowed_methods() {
    let hub = TIDECAST.serve(&["--publish-key", "k"]);
    let bearer = [("Authorization", "Bearer k")];
    let cases = [
        ("/stream", "GET,HEAD", &["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"][..]),
        ("/publish", "POST", &["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]),
        ("/channels", "GET,HEAD", &["POST", "DELETE", "OPTIONS"]),
        ("/channels/a", "DELETE,GET,HEAD", &["POST", "PUT", "OPTIONS"]),
        ("/channels/a/events", "GET,HEAD", &["POST", "DELETE"]),
        ("/healthz", "GET,HEAD", &["POST"]),
        ("/readyz", "GET,HEAD", &["POST"]),
        ("/metrics", "GET,HEAD", &["POST", "DELETE"]),
        ("/", "GET,HEAD", &["POST"]),
    ];
    for (target, allowed, methods) in cases {
        for method in methods {
            let response = hub.request(method, target, &bearer, b"").await;
            assert_eq!(response.head.status, 405, "{method} {target}: {response:?}");
            let allow = response.head.header("allow").unwrap_or_default();
            let mut allow: Vec<_> = allow.split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(allow.join(","), allowed, "{method} {target}");
            if *method != "HEAD" {
                let right = if target == "/publish" { ": send a POST" } else { "" };
                assert!(response.problem(405).contains(right), "{method} {target}: {response:?}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    for target in ["/nothing", "/stream/", "/publish/x", "/channels/", "//", "/%ff", "/../etc/passwd"] {
        for method in ["GET", "POST"] {
            hub.request(method, target, &[], b"").await.problem(404);
        }
        bystander.receives_the_next_event(target).await;
    }
    let not_utf8 = hub.get("/channels/%ff").await.problem(400);
    assert!(not_utf8.contains("not UTF-8"), "{not_utf8}");
    hub.get(&format!("/channels/{}", "c".repeat(256))).await.problem(400);
    hub.get("/channels/a%0Ab").await.problem(400);
    bystander.received_everything().await;
}

#[tokio::test]
async fn malformed_requests_get_a_4xx_and_a_closed_connection() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    let host = hub.address.to_string();
    let long_line = format!("GET /stream?x={} HTTP/1.1\r\nHost: {host}\r\n\r\n", "y".repeat(100_000));
    let headers: String = (0..1_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let many_headers = format!("GET /stream HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    let post = format!("POST /publish HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n");
    let cases: &[(&str, Vec<u8>, &[u16])] = &[
        ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400]),
        ("no version", b"GET /stream\r\n\r\n".to_vec(), &[400]),
        ("version 9", b"GET /stream HTTP/9.9\r\n\r\n".to_vec(), &[400, 505]),
        // A client with this preface speaks only another version of HTTP, so it gets no response.
        ("http 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        ("no path", b"GET  HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        ("no colon", format!("GET / HTTP/1.1\r\nHost: {host}\r\nnonsense\r\n\r\n").into_bytes(), &[400]),
        ("NUL in a header", format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n").into_bytes(), &[400]),
        ("long line", long_line.into_bytes(), &[414, 431]),
        ("many headers", many_headers.into_bytes(), &[431, 400]),
        ("no length", format!("{post}Content-Length: many\r\n\r\n").into_bytes(), &[400]),
        ("minus", format!("{post}Content-Length: -1\r\n\r\n").into_bytes(), &[400]),
        ("two lengths", format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy").into_bytes(), &[400]),
        ("encoding", format!("{post}Transfer-Encoding: gzip\r\n\r\n").into_bytes(), &[400]),
        ("chunk", format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into_bytes(), &[400]),
        ("huge chunk", format!("{post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n").into_bytes(), &[400]),
    ];
    for (name, bytes, statuses) in cases {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(bytes).await;
        if !statuses.is_empty() {
            println!("{name}");
            let response = connection.response("GET").await;
            assert!(statuses.contains(&response.head.status), "{name}: {response:?}");
        }
        assert!(connection.is_cut().await, "{name}");
        bystander.receives_the_next_event(name).await;
    }
    bystander.received_everything().await;
}

#[tokio::test]
async fn a_head_above_the_limit_is_refused() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    let mut connection = HttpConnection::open(hub.address).await;
    connection.send(format!("GET /stream HTTP/1.1\r\nHost: {}\r\nX: ", hub.address).as_bytes()).await;
    // The response is sent before the whole head has arrived. A client that keeps sending may lose it to a reset.
    let mut sent = 0;
    while sent < 64 * 1024 * 1024 && within("sending", connection.socket.write_all(&[b'y'; 64 * 1024])).await.is_ok() {
        sent += 64 * 1024;
    }
    assert!(sent < 64 * 1024 * 1024, "all of it was taken");
    while matches!(connection.fill(1024).await, Ok(true)) {}
    let response = String::from_utf8_lossy(&connection.buffer).into_owned();
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 431 "), "{response}");
    bystander.receives_the_next_event("a long head").await;
}

#[tokio::test]
async fn an_incomplete_body_publishes_nothing() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    for framing in ["Content-Length: 5\r\n\r\nhell", "Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n"] {
        let mut connection = HttpConnection::open(hub.address).await;
        let head = format!("POST /publish HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n", hub.address);
        connection.send(format!("{head}{framing}").as_bytes()).await;
        drop(connection);
        bystander.receives_the_next_event(framing).await;
    }
    bystander.received_everything().await;
}

#[tokio::test]
async fn a_client_that_sends_too_large_a_body_receives_the_response() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    let three_mib = vec![b'x'; 3 * 1024 * 1024];
    let text = ("Content-Type", "text/plain");
    let chunked = [text, ("Transfer-Encoding", "chunked")];
    let mut chunks = format!("{:x}\r\n", three_mib.len()).into_bytes();
    chunks.extend(&three_mib);
    chunks.extend(b"\r\n0\r\n\r\n");
    let origin = [text, ("Origin", "https://evil.example")];
    for (name, bytes, status) in [
        ("length", request_bytes(hub.address, "POST", "/publish", &[text], &three_mib), 413),
        ("chunks", request_bytes(hub.address, "POST", "/publish", &chunked, &chunks), 413),
        // The request is refused before its body is read.
        ("origin", request_bytes(hub.address, "POST", "/publish", &origin, &three_mib), 403),
        ("method", request_bytes(hub.address, "PUT", "/publish", &[text], &three_mib), 405),
        ("path", request_bytes(hub.address, "POST", "/nothing", &[text], &three_mib), 404),
        ("media type", request_bytes(hub.address, "POST", "/publish", &[], &three_mib), 413),
    ] {
        let mut connection = HttpConnection::open(hub.address).await;
        // The client sends the whole body before it reads. If the hub did not read the body, a reset would destroy the
        // response.
        connection.send(&bytes).await;
        connection.response("POST").await.problem(status);
        // The connection remains usable.
        connection.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
        assert_eq!(connection.response("GET").await.text(), "alive\n", "{name}");
        bystander.receives_the_next_event(name).await;
    }
    // A client that expects `100 Continue` gets it.
    let expect = [text, ("Expect", "100-continue")];
    let response = hub.request("POST", "/publish", &expect, b"hello").await;
    assert_eq!(response.head.status, 200, "{response:?}");
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let hub = TIDECAST.serve(&["--header-timeout", "300ms", "--idle-timeout", "300ms"]);
    let mut bystander = Bystander::new(&hub).await;
    for beginning in ["", "GET /str", "GET /stream HTTP/1.1\r\nHost: loc"] {
        let started = Instant::now();
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(beginning.as_bytes()).await;
        // A byte now and then does not extend the deadline.
        within("the cut", async {
            while connection.socket.try_write(b"a").is_ok() {
                let reading = tokio::time::timeout(Duration::from_millis(50), connection.fill(1024)).await;
                if matches!(reading, Ok(Ok(false) | Err(_))) {
                    break;
                }
                if beginning.is_empty() {
                    continue;
                }
            }
        })
        .await;
        assert!(started.elapsed() < Duration::from_secs(3), "{beginning:?}: {:?}", started.elapsed());
        bystander.receives_the_next_event(beginning).await;
    }
    // A silent connection is closed too, also after a request.
    let mut connection = HttpConnection::open(hub.address).await;
    let started = Instant::now();
    assert!(connection.is_cut().await);
    connection = HttpConnection::open(hub.address).await;
    connection.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
    connection.response("GET").await;
    assert!(connection.is_cut().await);
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    bystander.receives_the_next_event("silence").await;
}

/// The deadline applied twice: to the handler, and to the layer that reads the rest of a refused body.
#[tokio::test]
async fn a_missing_body_times_out() {
    let hub = TIDECAST.serve(&["--body-timeout", "500ms"]);
    let mut bystander = Bystander::new(&hub).await;
    for framing in ["Content-Length: 5\r\n\r\nhell", "Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n"] {
        let started = Instant::now();
        let mut connection = HttpConnection::open(hub.address).await;
        let head = format!("POST /publish HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n", hub.address);
        connection.send(format!("{head}{framing}").as_bytes()).await;
        connection.response("POST").await.problem(408);
        assert!(connection.is_cut().await);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        bystander.receives_the_next_event(framing).await;
    }
    bystander.received_everything().await;
}
