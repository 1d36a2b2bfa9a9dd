//! Data arrive as they were published, through each form of a publish.

use serde_json::Value;
use tidecast_test::request_bytes;

use crate::TIDECAST;

/// Text that must arrive through each form. Line breaks arrive as LF, and nothing else is a line break.
const TEXTS: [&str; 22] = [
    "",
    " ",
    "  leading and trailing  ",
    "\n",
    "\n\n",
    "a\r\nb\rc\nd",
    "\r",
    "\r\n\r\n",
    "\n\r",
    "line\u{2028}separator\u{2029}\u{85}\u{b}\u{c}\u{1c}",
    "nul\0nul",
    "\u{feff}bom",
    "🌊é\u{10ffff}\u{fffd}",
    "data: x\nid: 9\nevent: y\nretry: 1\n\n: z",
    ":comment",
    "1.10",
    "null",
    "{\"not\": \"json\"",
    "100% &=+;#",
    "tab\tand\u{7f}\u{1b}[0m",
    "\"quoted\\\"",
    "a\u{0301}\u{200d}",
];

/// JSON that must arrive byte for byte, except for its line breaks.
const VALUES: [&str; 18] = [
    "1.10",
    "-0",
    "-0.0",
    "12345678901234567890",
    "123456789012345678901234567890.000",
    "1e400",
    "1E+2",
    "null",
    "true",
    "[]",
    "{}",
    r#"{"b":1,"a":2,"b":3}"#,
    "{ \"a\" :\t[ 1 , 2 ]  }",
    "[\n  1,\r\n  2,\r  3\n]",
    r#"{"s":"\u00e9\n\ud800 é🌊\/"}"#,
    "[\"\u{2028}\u{7f}\"]",
    r#"["\u0000"]"#,
    "[[[[[[[[[[0.1e-7]]]]]]]]]]",
];

fn line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn texts_arrive_unchanged() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    let mut expected = Vec::new();
    for text in TEXTS {
        let quoted = serde_json::to_string(text).unwrap();
        let every_character_escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for (media_type, body) in [
            ("text/plain", text.as_bytes().to_vec()),
            ("application/json", format!(r#"{{"data":{quoted}}}"#).into_bytes()),
            ("application/json", format!(r#"{{"data":"{every_character_escaped}"}}"#).into_bytes()),
            ("application/json", format!(r#" [ {{"data": {quoted} }} ]"#).into_bytes()),
            ("application/x-www-form-urlencoded", format!("data={}", escape(text)).into_bytes()),
        ] {
            let response = hub.request("POST", "/publish", &[("Content-Type", media_type)], &body).await;
            assert_eq!(response.head.status, 200, "{text:?} as {media_type}: {response:?}");
            let message = stream.message().await;
            assert_eq!(message.data, line_feeds(text), "{text:?} as {media_type}");
            assert_eq!(message.event_type, "message");
            expected.push(message.data);
        }
    }
    // The same events once more from the history: in a stream, and as JSON.
    let mut again = hub.stream("/stream?last=1000").await;
    let history = hub.get("/channels/sse/events?last=1000").await.json();
    for (number, data) in expected.iter().enumerate() {
        assert_eq!(again.message().await.data, *data);
        assert_eq!(history["events"][number]["data"], *data, "{number}");
    }
}

#[tokio::test]
async fn json_arrives_byte_for_byte() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    for value in VALUES {
        for body in [
            format!(r#"{{"data":{value}}}"#),
            format!("{{\"data\" :\r\n {value}\t, \"type\":\"t\" }}"),
            format!(r#"[{{"type":"t","data": {value} }},{{"data":{value}}}]"#),
        ] {
            hub.publish(&body).await;
            for _ in 0..(if body.starts_with('[') { 2 } else { 1 }) {
                assert_eq!(stream.message().await.data, line_feeds(value), "{body}");
            }
        }
    }
}

#[tokio::test]
async fn types_ids_and_retry_times_arrive_through_every_form() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream?channel=ch%20%C3%BC").await;
    let (event_type, id) = (" space and: ü", "id: with 🌊");
    let pairs = format!("channel={}&type={}&id={}&retry=1234", escape("ch ü"), escape(event_type), escape(id));
    let json = serde_json::json!({ "channel": "ch ü", "type": event_type, "id": id, "retry": 1234, "data": "x" });
    for (target, media_type, body) in [
        (format!("/publish?{pairs}"), "text/plain", "x".to_owned()),
        ("/publish".into(), "application/x-www-form-urlencoded", format!("{pairs}&data=x")),
        ("/publish".into(), "application/json", json.to_string()),
        ("/publish".into(), "application/json", Value::Array(vec![json.clone()]).to_string()),
    ] {
        let bytes = request_bytes(hub.address, "POST", &target, &[("Content-Type", media_type)], body.as_bytes());
        let response = hub.send_raw(&bytes, "POST").await;
        let first = match response.json() {
            Value::Array(several) => several[0].clone(),
            one => one,
        };
        assert_eq!((first["channel"].as_str(), first["id"].as_str()), (Some("ch ü"), Some(id)), "{response:?}");
        let message = stream.message().await;
        assert_eq!((message.event_type.as_str(), message.last_event_id.as_str()), (event_type, id), "{media_type}");
    }
    // The whole frame: the id last, one space after each colon, LF, and no field that the event lacks.
    let frame = format!("event: {event_type}\nretry: 1234\ndata: x\nid: {id}\n\n");
    let body = String::from_utf8_lossy(&stream.body).into_owned();
    assert!(body.ends_with(&frame.repeat(4)), "{body:?}");
}
