//! Messages of other programs on the same Redis: events in both formats are delivered live, and anything else is
//! ignored.

use serde_json::json;
use tidecast_test::redis::RedisServer;

use super::{hub_on, publish_by_hand};

#[tokio::test]
async fn foreign_events_in_both_formats_are_delivered_in_order_and_never_replayed() {
    let redis = RedisServer::start(&[]);
    let (one, other) = (hub_on(&redis, &[]).await, hub_on(&redis, &[]).await);
    let mut streams = Vec::new();
    for hub in [&one, &other] {
        let mut stream = hub.stream("/stream?channel=news").await;
        stream.until_live().await;
        streams.push(stream);
    }
    let first = one.publish(r#"{"channel":"news","data":"ours 1"}"#).await;
    publish_by_hand(&redis, "news", br#"{"data": "x"}"#);
    publish_by_hand(&redis, "news", br#"["e", "x"]"#);
    let second = other.publish(r#"{"channel":"news","data":"ours 2"}"#).await;
    publish_by_hand(&redis, "news", " {\"type\": \"ü\", \"data\": {\"n\": 1.10}}\n".as_bytes());
    publish_by_hand(&redis, "news", br#"["e", ["l1", "l2"]]"#);
    let third = one.publish(r#"{"channel":"news","data":"ours 3"}"#).await;

    for stream in &mut streams {
        let (mut seen, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            let message = stream.message().await;
            seen.push((message.event_type, message.data));
            ids.push(json!(message.last_event_id));
        }
        let seen: Vec<_> = seen.iter().map(|(event_type, data)| (&**event_type, &**data)).collect();
        let expected = [
            ("message", "ours 1"),
            ("message", "x"),
            ("e", "x"),
            ("message", "ours 2"),
            ("ü", "{\"n\": 1.10}"),
            ("e", "l1\nl2"),
            ("message", "ours 3"),
        ];
        assert_eq!(seen, expected);
        // Foreign events have no position: a client that is cut off among them resumes after the last event that has
        // one.
        let [first, second, third] = [&first, &second, &third].map(|response| response["id"].clone());
        assert_eq!(ids, [first.clone(), first.clone(), first, second.clone(), second.clone(), second, third]);
    }
    let ours = ["ours 1", "ours 2", "ours 3"];
    for hub in [&one, &other] {
        let position = first["position"].as_str().expect("a position");
        let mut resumed = hub.stream(&format!("/stream?channel=news&last_event_id={position}")).await;
        assert_eq!(resumed.data_until("ours 3").await, (vec!["ours 2".to_owned(), "ours 3".to_owned()], 0));
        let mut newest = hub.stream("/stream?channel=news&last=10").await;
        assert_eq!(newest.data_until("ours 3").await.0, ours);
        let events = hub.get("/channels/news/events").await.json();
        let data: Vec<_> = events["events"].as_array().expect("an array").iter().map(|event| &event["data"]).collect();
        assert_eq!(data, ours);
        assert_eq!(hub.metric("tidecast_redis_foreign_events_total").await, 4);
    }
}

#[tokio::test]
async fn malformed_messages_are_counted_and_ignored() {
    let redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &[]).await;
    let mut stream = hub.stream("/stream?channel=news&channel=sse").await;
    stream.until_live().await;
    let deep = "[".repeat(100_000);
    let large = format!("{{\"data\": \"{}\"}}", "x".repeat(1024 * 1024 + 1));
    let long_type = format!("{{\"data\": 1, \"type\": \"{}\"}}", "x".repeat(256));
    let poison: Vec<&[u8]> = vec![
        b"",
        b" ",
        b"x",
        b"null",
        b"5",
        b"true",
        b"\"text\"",
        b"[]",
        b"{}",
        b"[\"e\"]",
        b"[\"e\", \"x\", 1]",
        b"{\"data\": \"x\"",
        b"{\"data\": \"x\"} y",
        b"{\"type\": \"e\"}",
        b"{\"data\": \"x\", \"channel\": \"sse\"}",
        b"{\"data\": \"x\", \"type\": \"a\\nb\"}",
        b"{\"data\": \"x\", \"type\": \"a\\rdata: forged\"}",
        b"{\"data\": \"x\", \"id\": \"a\\u0000b\"}",
        b"{\"data\": \"x\", \"type\": \"stream-reset\"}",
        b"[\"stream-open\", \"x\"]",
        b"[\"a\\nb\", \"x\"]",
        b"{\"data\": NaN}",
        b"{\"data\": \"\xff\"}",
        b"\xff\xfe\x00",
        b"\x00\x01\x02",
        deep.as_bytes(),
        large.as_bytes(),
        long_type.as_bytes(),
    ];
    for (number, payload) in poison.iter().enumerate() {
        publish_by_hand(&redis, "news", payload);
        // After each message the stream still receives the hub's events and foreign ones.
        hub.publish(&json!({ "channel": "news", "data": format!("ours {number}") }).to_string()).await;
        publish_by_hand(&redis, "news", br#"{"data": "theirs"}"#);
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        assert_eq!(stream.message().await.data, format!("ours {number}"), "after {shown:?}");
        assert_eq!(stream.message().await.data, "theirs", "after {shown:?}");
    }
    let count = poison.len() as u64;
    hub.until_metric("tidecast_redis_poison_payloads_total", count).await;
    hub.until_metric("tidecast_redis_foreign_events_total", count).await;
    for reason in ["expired", "restarted", "unknown-id", "too-slow"] {
        assert_eq!(hub.metric(&format!("tidecast_resets_total{{reason=\"{reason}\"}}")).await, 0, "{reason}");
    }
    // The log names the channel; it has neither a line for each message nor whole messages.
    let warnings = hub.stderr();
    let warned = warnings.lines().filter(|line| line.contains("WARN")).count() as u64;
    assert!(warned >= 1 && warned < count, "{warned} of {count}: {warnings}");
    assert!(warnings.len() < 16 * 1024, "{} bytes of log lines", warnings.len());
}
