//! Invalid headers, and headers by which a page of another site is recognized.

use tidecast_test::{HttpConnection, request_bytes};

use crate::{TIDECAST, support::Bystander};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The headers and the body of a publish request, the status of the response, and a part of its text.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16, &'a str);

#[tokio::test]
async fn invalid_headers_are_refused() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    let key = |key: &'static str| ("Idempotency-Key", key);
    let long = "k".repeat(256);
    let cases: &[Case<'_>] = &[
        (&[], "data=1", 415, "`Content-Type` is missing"),
        (&[("Content-Type", "")], "data=1", 415, "`Content-Type`, ``, is not"),
        (&[("Content-Type", "json")], r#"{"data":1}"#, 415, "`json`, is not a media type"),
        (&[("Content-Type", "text/html")], "x", 415, "`text/html` is not accepted"),
        (&[("Content-Type", "application/octet-stream")], "x", 415, "is not accepted"),
        (&[("Content-Type", "multipart/form-data; boundary=x")], "x", 415, "is not accepted"),
        (&[("Content-Type", "application/json; charset=latin1")], r#"{"data":1}"#, 415, "`latin1`, and only UTF-8"),
        (&[("Content-Type", "text/plain; charset=\"iso-8859-1\"")], "x", 415, "only UTF-8"),
        (&[("Content-Type", "text/plain; charset=utf9")], "x", 415, "only UTF-8"),
        (&[JSON, ("Content-Encoding", "gzip")], r#"{"data":1}"#, 415, "compressed"),
        (&[JSON, key("")], r#"{"data":1}"#, 400, "idempotency key is empty"),
        (&[JSON, ("Idempotency-Key", &long)], r#"{"data":1}"#, 400, "256 bytes long"),
        (&[JSON, key("a")], r#"{"data":1,"idempotency_key":"b"}"#, 400, "differ"),
        (&[FORM, key("a")], "data=1&idempotency_key=b", 400, "differ"),
        (&[JSON, key("a"), ("X-Idempotency-Key", "b")], r#"{"data":1}"#, 400, "`X-Idempotency-Key`"),
        (&[JSON, key("a"), key("b")], r#"{"data":1}"#, 400, "differ"),
        (&[JSON, ("X-Idempotency-Key", "a")], r#"[{"data":1}]"#, 400, "for a single event"),
        (&[JSON, ("Origin", "null")], r#"{"data":1}"#, 403, "serve it over http"),
        (&[JSON, ("Origin", "https://evil.example")], r#"{"data":1}"#, 403, "a page of https://evil.example"),
        (&[JSON, ("Origin", "http://localhost:1")], r#"{"data":1}"#, 403, "a page of http://localhost:1"),
        (&[FORM, ("Origin", "")], "data=1", 403, "--cors-origin"),
        (&[JSON, ("Host", "evil.example")], r#"{"data":1}"#, 403, "no publish key"),
        (&[JSON, ("Host", "127.0.0.1.evil.example")], r#"{"data":1}"#, 403, "no publish key"),
        (&[JSON, ("Host", "")], r#"{"data":1}"#, 403, "no publish key"),
        (&[JSON, ("Host", "a b")], r#"{"data":1}"#, 403, "no publish key"),
    ];
    for (headers, body, status, expected_text) in cases {
        let response = hub.request("POST", "/publish", headers, body.as_bytes()).await;
        assert!(response.problem(*status).contains(expected_text), "{headers:?}: {response:?}");
        bystander.receives_the_next_event(expected_text).await;
    }
    // A header that is not UTF-8 has to be sent as bytes.
    let mut bytes = request_bytes(hub.address, "POST", "/publish", &[JSON, key("KEY")], br#"{"data":1}"#);
    let at = bytes.windows(3).position(|window| window == b"KEY").unwrap();
    bytes[at] = 0xff;
    let response = hub.send_raw(&bytes, "POST").await;
    assert!(response.problem(400).contains("not UTF-8"), "{response:?}");
    bystander.received_everything().await;
}

#[tokio::test]
async fn a_foreign_host_may_only_use_the_probes() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    for target in
        ["/", "/stream", "/channels", "/channels/a", "/channels/a/events", "/metrics", "/console.js", "/nothing"]
    {
        for host in ["evil.example", "localhost.evil.example", "169.254.169.254", "[::2]:80"] {
            hub.request("GET", target, &[("Host", host)], b"").await.problem(403);
        }
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).await;
        let status = connection.response("GET").await.head.status;
        assert_eq!(status, 403, "{target} without a host");
        bystander.receives_the_next_event(target).await;
    }
    hub.request("DELETE", "/channels/bystander", &[("Host", "evil.example")], b"").await.problem(403);
    hub.request("DELETE", "/channels/bystander", &[("Origin", "http://evil.example")], b"").await.problem(403);
    // Orchestrators probe the hub under any name.
    for target in ["/healthz", "/readyz"] {
        assert_eq!(hub.request("GET", target, &[("Host", "10.1.2.3:8000")], b"").await.head.status, 200);
    }
    for host in ["localhost", "LOCALHOST:1", "hub.localhost", "127.9.9.9", "[::1]:8000"] {
        assert_eq!(hub.request("GET", "/channels", &[("Host", host)], b"").await.head.status, 200, "{host}");
    }
    bystander.received_everything().await;
}
