//! The beginning of a stream: its head, its first block, and its start.

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, eventually, request_bytes};

use crate::TIDECAST;

#[tokio::test]
async fn the_head_and_the_first_block_have_these_bytes() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("transfer-encoding", "chunked"),
    ] {
        assert_eq!(stream.head.header(name), Some(value));
    }
    for name in ["content-length", "content-encoding", "set-cookie"] {
        assert_eq!(stream.head.header(name), None, "{name}");
    }
    // A stream is the last response on its connection.
    assert_eq!(stream.head.header("connection"), Some("close"));
    let block = stream.body_until("\n\n").await;
    let id = block.strip_prefix(": tidecast\nretry: 3000\nid: ").and_then(|rest| rest.strip_suffix("\n\n"));
    let id = id.unwrap_or_else(|| panic!("{block:?}"));
    let (epoch, offset) = id.split_once('.').unwrap();
    assert!(epoch.len() == 12 && epoch.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert_eq!(offset, "0");
    assert_eq!(stream.last_event_id(), id);
}

#[tokio::test]
async fn the_first_block_follows_the_settings() {
    let hub = TIDECAST.serve(&["--retry", "1500ms"]);
    let mut stream = hub.stream("/stream?channel=a&channel=b&channel=a&channel=").await;
    let block = stream.body_until("\n\n").await;
    assert!(block.starts_with(": tidecast\nretry: 1500\nid: "), "{block:?}");
    assert_eq!(stream.last_event_id().split(',').count(), 3, "a, b and sse, each once: {block:?}");

    let mut stream = hub.stream("/stream?open=1").await;
    let open = stream.message().await;
    assert_eq!(open.event_type, "stream-open");
    let data: serde_json::Value = serde_json::from_str(&open.data).unwrap();
    assert_eq!(data, serde_json::json!({ "position": open.last_event_id }));
    let mut stream = hub.stream("/stream?open=0").await;
    assert!(!stream.body_until("\n\n").await.contains("event:"));
}

#[tokio::test]
async fn a_head_request_gets_the_head_without_a_subscription() {
    let hub = TIDECAST.serve(&[]);
    let mut connection = HttpConnection::open(hub.address).await;
    for _ in 0..3 {
        connection.send(&request_bytes(hub.address, "HEAD", "/stream?channel=a", &[], b"")).await;
        let response = connection.response("HEAD").await;
        assert_eq!(response.head.status, 200);
        assert_eq!(response.head.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(response.head.header("cache-control"), Some("no-cache, no-transform"));
        // The head had `content-length: 0`, which would describe the response to a GET.
        assert_eq!(response.head.header("content-length"), None, "{response:?}");
    }
    assert_eq!(hub.metric("tidecast_subscriptions_opened_total").await, 0);
    hub.get("/channels/a").await.problem(404);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks_and_the_end_by_a_close() {
    let mut hub = TIDECAST.serve(&[]);
    let mut connection = HttpConnection::open(hub.address).await;
    connection.send(format!("GET /stream HTTP/1.0\r\nHost: {}\r\n\r\n", hub.address).as_bytes()).await;
    let mut stream = EventStream::read_head(connection).await;
    assert_eq!(stream.head.header("transfer-encoding"), None);
    assert_eq!(stream.head.header("content-length"), None);
    stream.until_live().await;
    hub.publish(r#"{"data":"old and well"}"#).await;
    assert_eq!(stream.message().await.data, "old and well");

    hub.signal(tidecast_test::Signal::TERM);
    let rest = stream.rest().await;
    assert!(matches!(rest[..], [Item::Retry(_)]), "{rest:?}");
    assert!(hub.ended().await.0.success());
}

#[tokio::test]
async fn a_stream_may_follow_other_requests_on_its_connection() {
    let hub = TIDECAST.serve(&[]);
    let mut connection = HttpConnection::open(hub.address).await;
    for target in ["/healthz", "/channels", "/nothing", "/"] {
        connection.send(&request_bytes(hub.address, "GET", target, &[], b"")).await;
        connection.response("GET").await;
    }
    connection.send(&request_bytes(hub.address, "GET", "/stream", &[], b"")).await;
    let mut stream = EventStream::read_head(connection).await;
    hub.publish(r#"{"data":1}"#).await;
    assert_eq!(stream.message().await.data, "1");
}

#[tokio::test]
async fn requests_in_one_write_are_answered_in_order() {
    let hub = TIDECAST.serve(&[]);
    let form = [("Content-Type", "text/plain")];
    let mut bytes = request_bytes(hub.address, "GET", "/healthz", &[], b"");
    bytes.extend(request_bytes(hub.address, "POST", "/publish", &form, b"before"));
    bytes.extend(request_bytes(hub.address, "GET", "/stream?last=1", &[], b""));
    // A request after a stream gets no response and must not disturb the stream.
    bytes.extend(request_bytes(hub.address, "POST", "/publish", &form, b"never"));
    let mut connection = HttpConnection::open(hub.address).await;
    connection.send(&bytes).await;
    assert_eq!(connection.response("GET").await.text(), "alive\n");
    assert_eq!(connection.response("POST").await.json()["receivers"], 0);
    let mut stream = EventStream::read_head(connection).await;
    assert_eq!(stream.message().await.data, "before");
    hub.publish(r#"{"data":"after"}"#).await;
    assert_eq!(stream.message().await.data, "after");
}

#[tokio::test]
async fn a_stream_starts_where_the_request_asks_for() {
    let hub = TIDECAST.serve(&[]);
    let mut positions = Vec::new();
    for number in 1..=5 {
        let response = hub.publish(&format!(r#"{{"channel":"a","data":{number}}}"#)).await;
        positions.push(response["position"].as_str().unwrap().to_owned());
    }
    let (first, third) = (positions[0].as_str(), positions[2].as_str());
    let garbage = "not-an-id";
    // The query, the header, and the number of the first expected event; 6 is the one that is published afterwards.
    let cases: &[(String, Option<&str>, &str)] = &[
        ("".into(), None, "6"),
        ("&last=2".into(), None, "4"),
        ("&last=0".into(), None, "6"),
        ("&last=1000".into(), None, "1"),
        (format!("&last_event_id={third}"), None, "4"),
        (format!("&lastEventId={third}"), None, "4"),
        (format!("&last_event_id={third}&lastEventId={first}"), None, "4"),
        (format!("&last_event_id={third}&last=5"), None, "4"),
        (format!("&last_event_id={garbage}"), Some(third), "4"),
        (format!("&last_event_id={third}"), Some(first), "2"),
        // An empty id counts as none, so the next source in the order of precedence is used.
        (format!("&last_event_id={third}"), Some(""), "4"),
        ("&last_event_id=&last=1".into(), Some(""), "5"),
        ("&last=2".into(), Some(third), "4"),
    ];
    let mut streams = Vec::new();
    for (query, header, _) in cases {
        let header = header.map(|id| ("Last-Event-ID", id));
        streams.push(EventStream::open(hub.address, &format!("/stream?channel=a{query}"), header.as_slice()).await);
    }
    hub.publish(r#"{"channel":"a","data":6}"#).await;
    for (stream, (query, header, expected)) in streams.iter_mut().zip(cases) {
        let first: u32 = expected.parse().unwrap();
        for number in first..=6 {
            let message = stream.message().await;
            assert_eq!(message.data, number.to_string(), "{query:?} with {header:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_several_channels_resumes_in_each() {
    let hub = TIDECAST.serve(&[]);
    let mut source = hub.source("/stream?channel=a&channel=b&last=10");
    for (channel, data) in [("a", 1), ("b", 2), ("a", 3)] {
        hub.publish(&format!(r#"{{"channel":"{channel}","data":{data},"id":"own-{data}"}}"#)).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let first = Item::Message(source.message().await);
        for item in [first].into_iter().chain(source.cut()) {
            let Item::Message(message) = item else { continue };
            // A publisher's id has no position for the other channel, so it is not sent.
            assert_eq!(message.last_event_id.split(',').count(), 2, "{message:?}");
            seen.push(message.data);
        }
    }
    seen.sort();
    assert_eq!(seen, ["1", "2", "3"]);
    hub.publish(r#"{"channel":"b","data":4}"#).await;
    assert_eq!(source.message().await.data, "4");
}

#[tokio::test]
async fn keep_alive_comments_fill_silence_and_can_be_disabled() {
    let hub = TIDECAST.serve(&["--keep-alive", "100ms"]);
    let mut stream = hub.stream("/stream").await;
    let started = std::time::Instant::now();
    let body = stream.body_until("\n\n:\n:\n").await;
    // Two comments, 100 ms apart at least.
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}: {body:?}", started.elapsed());
    hub.publish(r#"{"data":"x"}"#).await;
    assert_eq!(stream.message().await.data, "x");

    // Without comments the stream is still open after as long, and has sent nothing.
    let quiet_hub = TIDECAST.serve(&["--keep-alive", "0"]);
    let mut quiet = quiet_hub.stream("/stream").await;
    quiet.until_live().await;
    let before = stream.body.len();
    stream.body_of_at_least(before + 4 * ":\n".len()).await;
    quiet_hub.publish(r#"{"data":"y"}"#).await;
    assert_eq!(quiet.message().await.data, "y");
    assert!(!String::from_utf8_lossy(&quiet.body).contains("\n:\n"), "{:?}", quiet.body.escape_ascii().to_string());
}

#[tokio::test]
async fn a_client_that_disconnects_is_noticed_on_an_idle_stream() {
    let hub = TIDECAST.serve(&["--keep-alive", "0"]);
    let subscribers = async || hub.get("/channels/a").await.json()["subscribers"].clone();
    let closes = hub.stream("/stream?channel=a").await;
    let resets = hub.stream("/stream?channel=a").await;
    assert_eq!(subscribers().await, 2);
    drop(closes);
    eventually("one subscriber", async || subscribers().await == 1).await;
    // A linger time of zero sends a reset instead of an orderly end.
    socket2::SockRef::from(&resets.connection.socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(resets);
    eventually("no subscriber", async || subscribers().await == 0).await;
    hub.until_metric("tidecast_streams", 0).await;
}
