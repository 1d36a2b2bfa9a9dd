//! Encoded events come back as the same bytes on the wire, and foreign ones are decoded as their programs would.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::value::RawValue;
use tidecast::{Delivery, Event, Hub, Limits, Start};

use super::*;
use crate::PlainFormat;

fn position(offset: u64) -> Position {
    format!("00c0ffee1234.{offset}").parse().unwrap()
}

/// Returns the payload of an event.
fn published(event: &Event, format: PlainFormat, with_history: bool) -> Vec<u8> {
    let payload = Payload::new(event, format, with_history);
    let partial = payload.first_digit == trailer::first_digit(true);
    [payload.json.unwrap_or_else(|| stored(event)), trailer::written(position(7), partial)].concat()
}

/// Returns the id, and the rest of the frame that a subscriber of one channel receives.
fn on_the_wire(event: &Event) -> (Option<String>, Vec<u8>) {
    let hub = Hub::builder().limits(native::LOADABLE.clone()).build();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    let id = event.id().map(ToString::to_string);
    hub.publish_now("sse", event.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(subscription.next()) {
        Some(Delivery::Event(delivered)) => (id, delivered.frame.without_id().to_vec()),
        other => panic!("{other:?}"),
    }
}

fn foreign(payload: &str) -> Event {
    match decode(payload.as_bytes(), &Limits::default()) {
        Decoded::Foreign(event) => event,
        other => panic!("{payload}: {other:?}"),
    }
}

fn invalid(payload: &[u8]) -> String {
    match decode(payload, &Limits::default()) {
        Decoded::Invalid(invalid) => {
            assert_eq!(invalid.position, None);
            invalid.reason.into_owned()
        }
        other => panic!("{}: {other:?}", payload.escape_ascii()),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let text = prop_oneof![any::<String>(), "[ -~\\r\\n\\t\"\\\\]{0,40}", Just(String::new())].prop_map(Event::text);
    let json = prop_oneof![
        any::<f64>().prop_map(|number| serde_json::json!([number, {"b": 1, "a": null}]).to_string()),
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        any::<String>().prop_map(|key| serde_json::to_string_pretty(&serde_json::json!({key: [1, {}]})).unwrap()),
        Just("1.10".to_owned()),
        Just("null".to_owned()),
        Just("{ \"b\" :1,\r\n\t\"a\": \"\\ud83d\" }".to_owned()),
    ];
    let json = json.prop_map(|json| Event::raw_json(RawValue::from_string(json).unwrap()));
    let event_type = proptest::option::of(prop_oneof![any::<String>(), Just("message".to_owned())]);
    let id = proptest::option::of(any::<String>());
    let retry = proptest::option::of(0..=86_400_000_u64);
    (prop_oneof![text, json], event_type, id, retry).prop_map(|(event, event_type, id, retry)| {
        let with_type = |event: Event| event.clone().with_type(event_type.unwrap_or_default()).unwrap_or(event);
        let with_id = |event: Event| event.clone().with_id(id.unwrap_or_default()).unwrap_or(event);
        let event = with_id(with_type(event));
        match retry {
            Some(retry) => event.with_retry(Duration::from_millis(retry)).unwrap(),
            None => event,
        }
    })
}

proptest! {
    #[test]
    fn an_object_comes_back_as_the_same_bytes(event in event()) {
        match decode(&published(&event, PlainFormat::Object, true), &Limits::default()) {
            Decoded::Native { position: at, event: back, partial } => {
                prop_assert_eq!(at, position(7));
                prop_assert!(!partial);
                prop_assert_eq!(on_the_wire(&back), on_the_wire(&event));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_stored_event_comes_back_as_the_same_bytes(event in event()) {
        let back = decode_stored(&stored(&event), &Limits::default()).unwrap();
        prop_assert_eq!(on_the_wire(&back), on_the_wire(&event));
    }

    #[test]
    fn an_array_comes_back_as_the_same_bytes_or_says_that_it_does_not(event in event()) {
        let payload = published(&event, PlainFormat::Array, true);
        match decode(&payload, &Limits::default()) {
            Decoded::Native { event: back, partial: false, .. } => {
                prop_assert_eq!(on_the_wire(&back), on_the_wire(&event));
            }
            Decoded::Native { .. } => {
                let typed = event.event_type().is_some_and(|event_type| event_type.as_str() == "message");
                prop_assert!(event.id().is_some() || event.retry().is_some() || typed);
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let without_history = decode(&published(&event, PlainFormat::Array, false), &Limits::default());
        let whole = matches!(without_history, Decoded::Native { partial: false, .. });
        prop_assert!(whole, "without a history no payload refers to it");
    }

    #[test]
    fn an_object_is_one_of_flask_sse_and_an_array_one_of_the_older_extension(event in event()) {
        let payload = published(&event, PlainFormat::Object, true);
        let object: serde_json::Map<_, _> = match serde_json::from_slice(&payload) {
            Ok(object) => object,
            // An unpaired surrogate in JSON data, which this parser of values refuses.
            Err(_) => return Ok(()),
        };
        prop_assert!(object.contains_key("data"));
        prop_assert!(object.keys().all(|key| ["data", "type", "id", "retry"].contains(&key.as_str())));
        let array: Vec<String> = serde_json::from_slice(&published(&event, PlainFormat::Array, true)).unwrap();
        prop_assert_eq!(array.len(), 2);
        prop_assert_eq!(&array[1], event.data());
    }

    #[test]
    fn nothing_panics(payload in any::<Vec<u8>>(), text in r#"[\[\]{}:," \n0-9a-ftu"ypeid\\]{0,60}"#) {
        let limits = Limits::default();
        for payload in [payload.clone(), text.into_bytes()] {
            let _ = decode(&payload, &limits);
            let _ = decode(&[payload, trailer::written(position(1), false)].concat(), &limits);
        }
    }
}

#[test]
fn the_format_is_as_documented() {
    let trailer = trailer::written(position(7), false);
    let text = |payload: Vec<u8>| String::from_utf8(payload.strip_suffix(&trailer[..]).unwrap().to_vec()).unwrap();
    let raw = |json: &str| Event::raw_json(RawValue::from_string(json.to_owned()).unwrap());
    let full = Event::text("a\n\"é\"").with_type("t").unwrap().with_id("17").unwrap();
    let full = full.with_retry(Duration::from_millis(500)).unwrap();
    let object = |event: &Event| text(published(event, PlainFormat::Object, true));
    assert_eq!(object(&full), r#"{"data":"a\n\"é\"","type":"t","id":"17","retry":500}"#);
    assert_eq!(object(&raw("{ \"b\": 1.10 }")), r#"{"data":{ "b": 1.10 }}"#);
    assert_eq!(object(&raw("\"x\"")), r#"{"data":"\"x\""}"#);
    assert_eq!(object(&Event::text("").with_retry(Duration::ZERO).unwrap()), r#"{"data":"","retry":0}"#);
    let array = |event: &Event| text(published(event, PlainFormat::Array, true));
    assert_eq!(array(&Event::text("x").with_type("t").unwrap()), r#"["t","x"]"#);
    assert_eq!(array(&raw("{\"b\": 1}")), r#"["message","{\"b\": 1}"]"#);
}

#[test]
fn objects_of_flask_sse_are_read_as_it_reads_them() {
    // As the extension writes, and as its users write.
    let event = foreign(r#"{"data": {"a": 2, "b": 1.10}, "id": 3, "retry": 4, "type": "z"}"#);
    assert_eq!(event.data(), r#"{"a": 2, "b": 1.10}"#);
    assert!(event.data_json().is_some());
    assert_eq!(event.id().unwrap().as_str(), "3");
    assert_eq!(event.retry(), Some(Duration::from_millis(4)));
    assert_eq!(event.event_type().unwrap().as_str(), "z");
    let event = foreign(" \n{\"type\": \"caf\\u00e9\", \"data\": \"l1\\nl2\"}\n");
    assert_eq!((event.data(), event.event_type().unwrap().as_str()), ("l1\nl2", "café"));
    assert!(event.data_json().is_none());

    for data in ["null", "5", "false", "[1]", "{}"] {
        assert_eq!(foreign(&format!("{{\"data\":{data}}}")).data(), data);
    }
    for nothing in ["null", "\"\"", "0", "-0.0", "0e7", "false", "[]", "{ }"] {
        let event = foreign(&format!(r#"{{"data":"x","type":{nothing},"id":{nothing},"retry":{nothing}}}"#));
        assert!(event.event_type().is_none() && event.id().is_none() && event.retry().is_none(), "{nothing}");
    }
    let event = foreign(r#"{"data":"x","type":true,"id":"0"}"#);
    assert_eq!((event.event_type().unwrap().as_str(), event.id().unwrap().as_str()), ("True", "0"));
}

#[test]
fn a_foreign_retry_is_taken_as_a_page_takes_it() {
    let retry =
        |retry: &str| foreign(&format!(r#"{{"data":"x","retry":{retry}}}"#)).retry().map(|retry| retry.as_millis());
    assert_eq!(retry("500"), Some(500));
    assert_eq!(retry("\"500\""), Some(500));
    assert_eq!(retry("\"0\""), Some(0));
    assert_eq!(retry("99999999999999999999999"), Some(86_400_000));
    for unreadable in ["-1", "1.5", "\"soon\"", "true", "[5]", "{\"a\":1}"] {
        assert_eq!(retry(unreadable), None, "{unreadable}");
    }
}

#[test]
fn arrays_of_the_older_extension_are_read_as_it_reads_them() {
    let event = foreign(r#"["ev", "l1\nl2"]"#);
    assert_eq!((event.event_type().unwrap().as_str(), event.data()), ("ev", "l1\nl2"));
    assert_eq!(foreign(r#"["ev", ["l1", "l2", ""]]"#).data(), "l1\nl2\n");
    assert_eq!(foreign(r#"["ev", []]"#).data(), "");
    assert_eq!(foreign(r#"["ev", ["l1", 2]]"#).data(), r#"["l1", 2]"#);
    assert_eq!(foreign(r#"["ev", {"a": 1.10}]"#).data(), r#"{"a": 1.10}"#);
    assert_eq!(foreign(r#"["message", "x"]"#).event_type().unwrap().as_str(), "message");
    assert!(foreign(r#"[null, "x"]"#).event_type().is_none());
    assert!(foreign(r#"["", "x"]"#).event_type().is_none());
}

#[test]
fn an_invalid_payload_has_a_reason() {
    let long = "x".repeat(300);
    let nested = format!("{{\"data\":{}1{}}}", "[".repeat(129), "]".repeat(129));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        ("hello", "is not JSON"),
        ("", "is not JSON"),
        ("{\"data\":\"x\"", "is not JSON"),
        ("{\"data\":NaN}", "is not JSON"),
        ("5", "is neither an object nor an array"),
        ("\"ab\"", "is neither an object nor an array"),
        ("{}", "is not an object of `data`"),
        ("{\"type\":\"t\"}", "is not an object of `data`"),
        ("{\"data\":1,\"channel\":\"c\"}", "is not an object of `data`"),
        ("{\"data\":\"\\ud800\"}", "unpaired surrogate"),
        ("{\"data\":1,\"type\":[1]}", "a field that is not a string"),
        ("{\"data\":1,\"id\":{\"a\":1}}", "a field that is not a string"),
        ("{\"data\":1,\"type\":\"a\\nb\"}", "event type has a control character"),
        ("{\"data\":1,\"type\":\"stream-reset\"}", "reserved"),
        ("{\"data\":1,\"id\":\"a\\u0000b\"}", "event id has a control character"),
        ("[\"e\"]", "not an array of two elements"),
        ("[\"e\",1,2]", "not an array of two elements"),
        ("[]", "not an array of two elements"),
        ("[5,\"x\"]", "first element is not a string"),
        ("[\"a\\rb\",\"x\"]", "event type has a control character"),
        (&format!("[\"{long}\",\"x\"]"), "255 are allowed"),
        (&format!("{{\"data\":1,\"id\":\"{long}\"}}"), "255 are allowed"),
        (&deep, "not an array of two elements"),
        (&nested, "nested deeper than 128 levels"),
    ];
    for (payload, reason) in cases {
        let actual = invalid(payload.as_bytes());
        assert!(actual.contains(reason), "{}: {actual}", &payload[..payload.len().min(60)]);
    }
    assert_eq!(invalid(b"{\"data\":\"\xff\"}"), "is not UTF-8");
}

#[test]
fn sizes_are_bounded() {
    let mut limits = Limits::default();
    (limits.event_data_bytes_max, limits.frame_bytes_max) = (100, 200);
    let reason = |payload: &[u8]| match decode(payload, &limits) {
        Decoded::Invalid(invalid) => invalid.reason.into_owned(),
        other => format!("{other:?}"),
    };
    let data = |data: &str| serde_json::json!({"data": data}).to_string().into_bytes();
    assert!(reason(&data(&"x".repeat(100))).starts_with("Foreign"));
    assert!(reason(&data(&"x".repeat(101))).contains("101 bytes long; at most 100"));
    assert!(reason(&data(&"\n".repeat(100))).contains("at most 200 are allowed"));
    assert_eq!(reason(&data(&"x".repeat(70_000))), "is larger than any event may be");

    // Another node has checked the size of a native event. Only a size that no node accepts is invalid.
    let native = published(&Event::text("x".repeat(101)), PlainFormat::Object, true);
    assert!(matches!(decode(&native, &limits), Decoded::Native { .. }));
    let native = published(&Event::text("x".repeat(70_000)), PlainFormat::Object, true);
    match decode(&native, &limits) {
        Decoded::Invalid(invalid) => assert_eq!(invalid.position, Some(position(7))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trailer_behind_a_foreign_payload_makes_it_invalid_with_its_position() {
    // Any program that may publish can write a trailer, so such a payload is checked like a publisher's event.
    let nested = format!("{{\"data\":{}1{}}}", "[".repeat(129), "]".repeat(129));
    let digits = format!("{{\"data\":{}}}", "1".repeat(5_000));
    let forged = [
        "{\"data\":1,\"type\":\"a\\nid: 7\"}",
        "{\"data\":1,\"id\":\"a\\rb\"}",
        "{\"data\":1,\"type\":\"stream-reset\"}",
    ];
    for body in forged.iter().copied().chain([&*nested, &*digits]) {
        let payload = [body.as_bytes(), &trailer::written(position(7), false)].concat();
        assert!(matches!(decode(&payload, &Limits::default()), Decoded::Invalid(_)), "{}", &body[..30]);
        assert!(decode_stored(body.as_bytes(), &Limits::default()).is_err(), "{}", &body[..30]);
    }
    for body in ["{\"data\":1,\"x\":2}", "{\"data\":1,\"id\":5}", "[\"e\",5]", "{\"data\":1,\"retry\":\"5\"}", "}"] {
        let payload = [body.as_bytes(), &trailer::written(position(7), false)].concat();
        match decode(&payload, &Limits::default()) {
            Decoded::Invalid(invalid) => assert_eq!(invalid.position, Some(position(7)), "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}
