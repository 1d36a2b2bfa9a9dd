//! Invalid requests for streams: a 400 for parameters that no browser sends by itself, and never a 4xx for a
//! `Last-Event-ID`, which would close an `EventSource` for good.

use tidecast_test::{EventStream, HttpConnection, request_bytes};

use crate::{TIDECAST, support::Bystander};

#[tokio::test]
async fn invalid_queries_are_refused() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    let many: String = (0..65).map(|number| format!("channel=c{number}&")).collect();
    let pairs = "_=1&".repeat(1_001);
    let long = format!("channel={}", "c".repeat(300));
    let just_too_long = format!("channel={}", "%C3%A9".repeat(128));
    let cases: &[(&str, &str)] = &[
        (&long, "300 bytes long"),
        (&just_too_long, "256 bytes long"),
        ("channel=%ff", "`channel` is not UTF-8"),
        ("channel=%ed%a0%80", "`channel` is not UTF-8"),
        ("channel=a%00", "control character"),
        ("channel=a%0d%0ab", "control character"),
        ("channel=%C2%85", "control character"),
        (&many, "at most 64 channels"),
        (&pairs, "more than 1000 parameters"),
        ("last=-1", "`last` must be"),
        ("last=1001", "`last` must be"),
        ("last=1e9", "`last` must be"),
        ("last=abc", "`last` must be"),
        ("last=%2B1", "`last` must be"),
        ("last=1.0", "`last` must be"),
        ("last=99999999999999999999", "`last` must be"),
        ("last=%ff", "`last` is not UTF-8"),
        ("open=2", "`open` must be 1, 0, true or false"),
        ("open=yes", "`open` must be 1, 0, true or false"),
        ("channel[]=a", "did you mean `channel`?"),
        ("channels=a", "did you mean `channel`?"),
        ("topic=a", "did you mean `channel`?"),
        ("stream=a", "did you mean `channel`?"),
        ("channel=a&chanel=b", "did you mean `channel`?"),
        ("channel=a&t=1700000000", "`t` is not known here; the known names are channel, "),
        ("channel=a&since=7", "did you mean `last_event_id`?"),
        ("open=%ff", "`open` is not UTF-8"),
        // Publishing refused repeated parameters, and a stream took the first.
        ("last=1&last=2", "`last` is given more than once"),
        ("open=1&open=1", "`open` is given more than once"),
        ("last_event_id=a&last_event_id=b", "`last_event_id` is given more than once"),
    ];
    for (query, expected_text) in cases {
        for method in ["GET", "HEAD"] {
            let response = hub.request(method, &format!("/stream?{query}"), &[], b"").await;
            assert_eq!(response.head.status, 400, "{method} {query}");
            if method == "GET" {
                assert!(response.problem(400).contains(expected_text), "{query}: {response:?}");
            }
        }
        bystander.receives_the_next_event(query).await;
    }
    assert_eq!(hub.metric("tidecast_streams").await, 1, "who was refused has no place");
    bystander.received_everything().await;
}

#[tokio::test]
async fn unusual_queries_are_accepted() {
    let hub = TIDECAST.serve(&[]);
    let longest = "%C3%A9".repeat(127) + "x";
    let sixty_four: String = (0..64).map(|number| format!("channel=c{number}&channel=c{number}&")).collect();
    for (query, channels) in [
        ("", 1),
        ("channel", 1),
        ("channel=&channel=sse", 1),
        ("&&channel=a&&", 1),
        ("channel=a+b&channel=a%20b", 1),
        ("channel=100%&channel=100%25", 1),
        ("_=1700000000&_t=%ff&channel=a", 1),
        ("channel=a=b&channel=a", 2),
        (sixty_four.as_str(), 64),
        (&format!("channel={longest}"), 1),
        ("open=", 1),
        ("open=true&open=", 1),
        ("last=", 1),
        ("last", 1),
        ("last=1000&last=", 1),
    ] {
        let mut stream = hub.stream(&format!("/stream?{query}")).await;
        stream.until_live().await;
        assert_eq!(stream.last_event_id().split(',').count(), channels, "{query}");
    }
}

#[tokio::test]
async fn an_unknown_id_brings_a_reset() {
    let hub = TIDECAST.serve(&[]);
    for (channel, data) in [("a", 1), ("b", 2)] {
        hub.publish(&format!(r#"{{"channel":"{channel}","data":{data}}}"#)).await;
    }
    let info = async |channel: &str| hub.get(&format!("/channels/{channel}")).await.json();
    let head = info("a").await["head"].as_str().unwrap().to_owned();
    let (epoch, _) = head.split_once('.').unwrap();
    let ahead = format!("{epoch}.99");
    let two = format!("{head},{head}");
    let long = "x".repeat(5_000);
    let many = vec!["0123456789ab.1"; 300].join(",");
    let cases: &[(&[u8], &str)] = &[
        (b"nothing-known", "unknown-id"),
        (b"17", "unknown-id"),
        (b"a,b", "unknown-id"),
        (b",", "unknown-id"),
        (b"\xff\xfe", "unknown-id"),
        ("\u{fffd}ü🌊".as_bytes(), "unknown-id"),
        (long.as_bytes(), "unknown-id"),
        (many.as_bytes(), "unknown-id"),
        (two.as_bytes(), "unknown-id"),
        (ahead.as_bytes(), "unknown-id"),
        (b"0123456789ab.1", "restarted"),
        (b"0123456789ab.99999999999999999999", "unknown-id"),
        (b"0123456789AB.1", "unknown-id"),
        (b"0123456789ab.01", "unknown-id"),
    ];
    for (id, reason) in cases {
        let mut bytes = request_bytes(hub.address, "GET", "/stream?channel=a", &[("Last-Event-ID", "HERE")], b"");
        let at = bytes.windows(4).position(|window| window == b"HERE").unwrap();
        bytes.splice(at..at + 4, id.iter().copied());
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&bytes).await;
        let mut by_header = EventStream::read_head(connection).await;

        let escaped: String = id.iter().map(|byte| format!("%{byte:02x}")).collect();
        let mut by_query = hub.stream(&format!("/stream?channel=a&last_event_id={escaped}")).await;
        for stream in [&mut by_header, &mut by_query] {
            let shown = String::from_utf8_lossy(&id[..id.len().min(40)]);
            let reset = stream.reset().await;
            assert_eq!(reset["reason"], *reason, "{shown}");
            assert_eq!(reset["channel"], "a", "{shown}");
            assert_eq!(reset["resumed_at"], stream.reset_position(), "{shown}");
            // The stream continues with the oldest retained event.
            assert_eq!(stream.message().await.data, "1", "{shown}");
        }
    }

    // Each of two channels is reset, in the order of the request. A channel with a known position resumes.
    let mut stream = EventStream::open(hub.address, "/stream?channel=b&channel=a", &[("Last-Event-ID", "17")]).await;
    assert_eq!(stream.reset().await["channel"], "b");
    assert_eq!(stream.reset().await["channel"], "a");
    let known = format!("0123456789ab.1,{head}");
    let mut stream = EventStream::open(hub.address, "/stream?channel=b&channel=a", &[("Last-Event-ID", &known)]).await;
    assert_eq!(stream.reset().await["reason"], "restarted");
    assert_eq!(stream.message().await.data, "2");
    hub.publish(r#"{"channel":"a","data":3}"#).await;
    assert_eq!(stream.message().await.data, "3");
}

#[tokio::test]
async fn expired_events_bring_a_reset() {
    let hub = TIDECAST.serve(&["--log-events", "2"]);
    let first = hub.publish(r#"{"data":1}"#).await["position"].as_str().unwrap().to_owned();
    for data in 2..=4 {
        hub.publish(&format!(r#"{{"data":{data}}}"#)).await;
    }
    let mut stream = EventStream::open(hub.address, "/stream", &[("Last-Event-ID", &first)]).await;
    let reset = stream.reset().await;
    assert_eq!(reset["reason"], "expired");
    assert_eq!(stream.message().await.data, "3");
    assert_eq!(stream.message().await.data, "4");
    assert_eq!(hub.metric("tidecast_resets_total{reason=\"expired\"}").await, 1);
}
