//! `POST /publish` with every kind of invalid field: the response is a problem document with the right status, and
//! nothing is published.

use crate::{TIDECAST, support::Bystander};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const TEXT: (&str, &str) = ("Content-Type", "text/plain");

/// The content type, the body, the status of the response, and a part of its detail.
type Case = ((&'static str, &'static str), Vec<u8>, u16, &'static str);

/// Sends each body to a target while a bystander reads a stream.
async fn all_are_refused(target: &str, cases: Vec<Case>) {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    for (media_type, body, status, says) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let response = hub.request("POST", target, &[media_type], &body).await;
        assert_eq!(response.head.status, status, "{shown}: {response:?}");
        let detail = response.problem(status);
        assert!(detail.contains(says), "{shown}: {detail:?} does not say {says:?}");
        bystander.receives_the_next_event(&shown).await;
    }
    bystander.received_everything().await;
}

fn json(body: &str, status: u16, says: &'static str) -> Case {
    (JSON, body.into(), status, says)
}

/// The last body begins with a form feed, which was accepted as white space.
#[tokio::test]
async fn malformed_json_is_refused() {
    let mut cases: Vec<Case> = ["", "{", "}", "{\"data\":}", "{\"data\":1,}", "{'data':1}", "{data:1}", "nul", "01"]
        .iter()
        .chain(&["{\"data\":1}{\"data\":2}", "{\"data\":1} x", "{\"data\":\"\n\"}", "{\"data\":NaN}", "{\"data\":+1}"])
        .chain(&["{\"data\":\"\\ud800\"}", "{\"data\":\"\\udc00\\ud800\"}", "{\"data\":\"\\x\"}", "[", "[{\"data\":1}"])
        .chain(&[
            "[{\"data\":1},]",
            "\u{feff}\u{feff}{\"data\":1}",
            "data=hello",
            "/* */{\"data\":1}",
            "\u{c}{\"data\":1}",
        ])
        .map(|body| json(body, 400, "this is not JSON"))
        .collect();
    for body in ["1", "\"text\"", "null", "true", "1e3", "[1]", "[[{\"data\":1}]]", "[null]", "[[]]"] {
        cases.push(json(body, 400, "an event is a JSON object with a member `data`"));
    }
    cases.push((JSON, b"{\"data\":\"\xff\"}".into(), 400, "not UTF-8 at byte 9"));
    cases.push((JSON, b"\xed\xa0\x80".into(), 400, "not UTF-8 at byte 0"));
    all_are_refused("/publish", cases).await;
}

#[tokio::test]
async fn invalid_members_are_refused() {
    let mut cases = vec![
        json("{}", 400, "`data` is missing"),
        json(r#"{"channel":"a"}"#, 400, "`data` is missing"),
        json(r#"{"data":1,"data":1}"#, 400, "`data` is given more than once"),
        json(r#"{"data":null,"d\u0061ta":1}"#, 400, "`data` is given more than once"),
        json(r#"{"data":1,"retry":1,"retry":1}"#, 400, "`retry` is given more than once"),
        json(r#"{"data":1,"idempotency_key":""}"#, 400, "idempotency key is empty"),
    ];
    for name in ["channel", "type", "id", "idempotency_key"] {
        for value in ["1", "true", "[]", "{}", "[\"a\"]", "1.5", r#""\ud800""#] {
            let says = Box::leak(format!("`{name}` must be a string").into_boxed_str());
            cases.push(json(&format!(r#"{{"data":1,"{name}":{value}}}"#), 400, says));
        }
        cases.push(json(&format!(r#"{{"data":1,"{name}":"a","{name}":"b"}}"#), 400, "more than once"));
        let long = "é".repeat(128);
        cases.push(json(&format!(r#"{{"data":1,"{name}":"{long}"}}"#), 400, "256 bytes long; at most 255"));
    }
    for value in ["-1", "1.0", "1e3", "\"1\"", "true", "[]", "{}", "86400001", "18446744073709551616"] {
        cases.push(json(&format!(r#"{{"data":1,"retry":{value}}}"#), 400, "retry"));
    }
    for name in ["event", "Data", "data ", "", "channels", "__proto__", "\\ud83c\\udf0a", "ttl"] {
        cases.push(json(&format!(r#"{{"data":1,"{name}":null}}"#), 400, "is not known here"));
    }
    for name in ["channel", "id", "type"] {
        for escape in ["\\r", "\\n", "\\u0000", "\\n\\ndata: forged", "\\u0001", "\\u0085", "\\u009f", "\\u007f", "\\t"]
        {
            cases.push(json(&format!(r#"{{"data":1,"{name}":"{escape}a"}}"#), 400, "control character"));
        }
    }
    for id in [" a", "a ", " "] {
        cases.push(json(&format!(r#"{{"data":1,"id":"{id}"}}"#), 400, "begins or ends with a space"));
    }
    // Clients that trim the event type mistook one with a space for a reserved type.
    for event_type in ["stream-reset", "stream-open", " stream-reset", "stream-open  ", "\u{a0}stream-reset\u{3000}"] {
        cases.push(json(&format!(r#"{{"data":1,"type":"{event_type}"}}"#), 400, "reserved for the hub"));
    }
    all_are_refused("/publish", cases).await;
}

/// JSON that Python cannot parse was accepted, and crashed every Python client that received it.
#[tokio::test]
async fn json_that_python_cannot_parse_is_refused() {
    let deep = format!("{}1{}", "[".repeat(129), "]".repeat(129));
    let long = "1".repeat(4_301);
    let cases = vec![
        json(&format!(r#"{{"data":{deep}}}"#), 400, "event data is JSON nested deeper than 128 levels"),
        json(&format!(r#"[{{"data":1}},{{"data":{deep}}}]"#), 400, "entry 1: event data is JSON nested deeper"),
        json(&format!(r#"{{"data":[{long}]}}"#), 400, "a JSON number of more than 4300 digits"),
    ];
    all_are_refused("/publish", cases).await;
}

#[tokio::test]
async fn events_and_bodies_above_the_limits_are_refused() {
    let mib = 1024 * 1024;
    let cases = vec![
        json(&format!(r#"{{"data":"{}"}}"#, "x".repeat(mib + 1)), 413, "event data is 1048577 bytes long"),
        // The quotes count in JSON, but not in text.
        json(&format!(r#"{{"data":["{}"]}}"#, "x".repeat(mib - 3)), 413, "event data is 1048577 bytes long"),
        json(&format!(r#"[{{"data":1}},{{"data":"{}"}}]"#, "x".repeat(mib + 1)), 413, "entry 1: event data"),
        // Each line break becomes a line of seven bytes on the wire.
        json(&format!(r#"{{"data":"{}"}}"#, "\\n".repeat(300_000)), 413, "event with its field names"),
        (TEXT, vec![b'\n'; 300_000], 413, "event with its field names"),
        (TEXT, vec![b'x'; mib + 1], 413, "event data is 1048577 bytes long"),
        (FORM, [b"data=".to_vec(), vec![b'x'; mib + 1]].concat(), 413, "event data is 1048577 bytes long"),
        (TEXT, vec![b'x'; 3 * mib], 413, "the body is longer than 2097152 bytes"),
        (JSON, vec![b'['; 3 * mib], 413, "the body is longer than 2097152 bytes"),
        // Deep nesting must not exhaust the stack.
        (JSON, vec![b'['; mib], 400, "this is not JSON"),
        (JSON, [br#"{"data":"#.to_vec(), vec![b'['; mib]].concat(), 400, "this is not JSON"),
    ];
    all_are_refused("/publish", cases).await;
}

#[tokio::test]
async fn an_array_with_one_invalid_event_is_refused_whole() {
    let hub = TIDECAST.serve(&[]);
    let mut bystander = Bystander::new(&hub).await;
    let thousand = |last: &str| format!("[{}{last}]", r#"{"data":1},"#.repeat(1_000));
    for (body, status, index, says) in [
        (r#"[{"data":1},{"data":1,"type":"a\nb"},{"data":1}]"#.to_owned(), 400, Some(1), "entry 1: event type"),
        (r#"[{"data":1},{}]"#.to_owned(), 400, Some(1), "entry 1: `data` is missing"),
        (r#"[{"data":1},2]"#.to_owned(), 400, Some(1), "entry 1: an event is"),
        (r#"[{"data":1},[{"data":1}]]"#.to_owned(), 400, Some(1), "entry 1: an event is"),
        (r#"[{"data":1,"idempotency_key":""}]"#.to_owned(), 400, Some(0), "entry 0: idempotency key"),
        (format!(r#"[{{"data":1}},{{"data":"{}"}}]"#, "\\n".repeat(300_000)), 413, Some(1), "entry 1: event with"),
        (thousand(r#"{"data":1}"#), 400, None, "1001 events in one request"),
    ] {
        let response = hub.request("POST", "/publish", &[JSON], body.as_bytes()).await;
        assert!(response.problem(status).contains(says), "{response:?}");
        assert_eq!(response.json()["index"].as_u64(), index, "{response:?}");
        bystander.receives_the_next_event(says).await;
    }
    let key = ("Idempotency-Key", "k");
    let response = hub.request("POST", "/publish", &[JSON, key], br#"[{"data":1}]"#).await;
    assert!(response.problem(400).contains("for a single event"));
    bystander.received_everything().await;

    // The largest allowed array.
    assert_eq!(hub.publish("[]").await, serde_json::json!([]));
    assert_eq!(
        hub.publish(&format!("[{}]", vec![r#"{"data":1}"#; 1_000].join(","))).await.as_array().unwrap().len(),
        1_000
    );
}

#[tokio::test]
async fn invalid_forms_and_texts_are_refused() {
    let form = |body: &str, says: &'static str| (FORM, body.as_bytes().to_vec(), 400, says);
    all_are_refused(
        "/publish",
        vec![
            form("", "`data` is missing"),
            form("channel=a", "`data` is missing"),
            form("data=1&data=2", "`data` is given more than once"),
            form("data=1&channel=a&channel=b", "`channel` is given more than once"),
            form("data=1&event=a", "`event` is not known here"),
            form("hello", "`hello` is not known here"),
            form("{\"data\":\"hello\"}", "add the header `Content-Type: application/json`"),
            form(" \n{", "add the header `Content-Type: application/json`"),
            form("data=%ff", "`data` is not UTF-8"),
            form("%ff=1", "not UTF-8"),
            form("data=1&type=a%0Ab", "control character"),
            form("data=1&type=%01stream-reset", "control character"),
            form("data=1&id=a%00", "control character"),
            form("data=1&id=%20a", "begins or ends with a space"),
            form("data=1&id=+a", "begins or ends with a space"),
            form("data=1&retry=-1", "`retry` must be"),
            form("data=1&retry=%2B1", "`retry` must be"),
            form("data=1&retry=1.5", "`retry` must be"),
            form("data=1&retry=86400001", "retry"),
            form("data=1&idempotency_key=", "idempotency key is empty"),
            form("data=1&idempotency_key", "idempotency key is empty"),
            form("data=1&type=stream-open", "reserved for the hub"),
            (FORM, b"data=\xff".into(), 400, "`data` is not UTF-8"),
            (FORM, "data=1&".repeat(1_001).into_bytes(), 400, "more than 1000 parameters"),
            (TEXT, b"\xff".into(), 400, "not UTF-8 at byte 0"),
        ],
    )
    .await;

    for (query, says) in [
        ("data=1", "remove `data`"),
        ("channel=%ff", "not UTF-8"),
        ("channel=a&channel=b", "more than once"),
        ("chanel=a", "`chanel` is not known here"),
        ("type=a%0db", "control character"),
        ("id=%C2%85", "control character"),
        ("retry=soon", "`retry` must be a whole number of milliseconds from 0 to 86400000, not \"soon\""),
        ("idempotency_key=", "idempotency key is empty"),
    ] {
        all_are_refused(&format!("/publish?{query}"), vec![(TEXT, b"x".into(), 400, says)]).await;
    }
    let in_the_body = "parameters in the address are for text/plain only";
    let cases = vec![(JSON, br#"{"data":1}"#.to_vec(), 400, in_the_body), (FORM, b"data=1".to_vec(), 400, in_the_body)];
    all_are_refused("/publish?channel=a", cases).await;
}

/// A byte order mark, with which some editors and shells begin UTF-8, was an error in JSON and became part of the first
/// name of a form. In text it is kept, as the body is the data.
#[tokio::test]
async fn a_byte_order_mark_is_skipped_in_json_and_forms() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    for (media_type, body, data) in [
        ("application/json", "\u{feff}{\"data\":\"json\"}", "json"),
        ("application/json; charset=utf8", "\u{feff} [{\"data\":\"array\"}]", "array"),
        ("application/x-www-form-urlencoded", "\u{feff}data=form", "form"),
        ("text/plain", "\u{feff}text", "\u{feff}text"),
    ] {
        let response = hub.request("POST", "/publish", &[("Content-Type", media_type)], body.as_bytes()).await;
        assert_eq!(response.head.status, 200, "{media_type}: {response:?}");
        assert_eq!(stream.message().await.data, data);
    }
}

#[tokio::test]
async fn events_at_the_limits_are_accepted() {
    let hub = TIDECAST.serve(&[]);
    let longest = "é".repeat(127) + "x";
    for name in ["channel", "type", "id", "idempotency_key"] {
        hub.publish(&format!(r#"{{"data":1,"{name}":"{longest}"}}"#)).await;
    }
    for body in [
        r#"{"data":1,"channel":null,"type":null,"id":null,"retry":null,"idempotency_key":null}"#,
        r#"{"data":1,"channel":"","type":"","id":""}"#,
        r#"{"data":1,"retry":0}"#,
        r#"{"data":1,"retry":86400000}"#,
        r#"{"data":1,"type":"a b","id":"a b"}"#,
        " \t\r\n{\"data\":1}\r\n ",
        r#"{"data":1,"channel":"a/b ,*?#%&=\"\\"}"#,
    ] {
        hub.publish(body).await;
    }
    let mib = "x".repeat(1024 * 1024);
    hub.publish(&format!(r#"{{"data":"{mib}"}}"#)).await;
    let deep = format!(r#"{{"data":{}1{}}}"#, "[".repeat(128), "]".repeat(128));
    hub.publish(&deep).await;
    for media_type in [
        "application/json;charset=UTF-8",
        "Application/JSON; charset=\"utf-8\"",
        "application/json; charset=utf8",
        "application/json; charset=UNICODE-1-1-UTF-8",
    ] {
        let response = hub.request("POST", "/publish", &[("Content-Type", media_type)], br#"{"data":1}"#).await;
        assert_eq!(response.head.status, 200, "{response:?}");
    }
    for media_type in ["text/plain; charset=utf8", "application/x-www-form-urlencoded; charset=utf8"] {
        let response = hub.request("POST", "/publish", &[("Content-Type", media_type)], b"data=1").await;
        assert_eq!(response.head.status, 200, "{media_type}: {response:?}");
    }
    let own = format!("http://{}", hub.address);
    for headers in
        [&[JSON, ("Origin", own.as_str())][..], &[JSON, ("Host", "localhost:1"), ("Origin", "http://LOCALHOST:1")]]
    {
        let response = hub.request("POST", "/publish", headers, br#"{"data":1}"#).await;
        assert_eq!(response.head.status, 200, "{response:?}");
    }
}
