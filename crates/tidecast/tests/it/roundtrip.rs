//! An event arrives as it was published: it goes through a hub, out as bytes and as a delivery, and both agree.
//!
//! Only line ends change: CRLF, CR and LF all arrive as LF.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::value::RawValue;
use tidecast::{
    Channel, Delivery, Event, EventId, EventType, Hub, IdempotencyKey, Limits, STREAM_OPEN, STREAM_RESET, Start,
    wire::{Decoder, FirstBlock, Item, Message},
};

use crate::support::{decode, default_with, hub_with, message, publish, ready_bytes, ready_next};

/// Publishes an event, and reads it in every way.
fn sent(event: &Event) -> Vec<Item> {
    let hub = Hub::new();
    let mut by_wire = hub.subscribe(["sse"], Start::Live).expect("it is valid");
    let mut on_two = hub.subscribe(["sse", "other"], Start::Live).expect("it is valid");
    let mut by_stream = hub.subscribe(["sse"], Start::Live).expect("it is valid");
    by_wire.first_block(FirstBlock::default());
    on_two.first_block(FirstBlock::default());
    let published = hub.publish_now("sse", event.clone()).expect("it is valid");

    let bytes = ready_bytes(&mut by_wire, 1);
    let items = items(&bytes);
    let Some(Delivery::Event(delivered)) = ready_next(&mut by_stream) else { panic!("an event") };
    assert_eq!(ready_next(&mut by_stream), None);
    assert_eq!(delivered.frame.bytes(), &bytes);
    let messages: Vec<_> = items.iter().cloned().filter_map(message).collect();
    assert_eq!(messages, [delivered.frame.message()]);
    assert_eq!(messages[0].last_event_id, published.id);

    let on_two_bytes = ready_bytes(&mut on_two, 1);
    assert!(on_two_bytes.starts_with(&delivered.frame.without_id()));
    let cursor = on_two.cursor().to_string();
    let as_on_two = decode(&on_two_bytes);
    assert_eq!(as_on_two, [Message { last_event_id: cursor, ..messages[0].clone() }]);
    items
}

fn items(bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    Decoder::new().feed(bytes, |item| items.push(item)).expect("it is valid");
    items
}

fn data_of(event: &Event) -> String {
    sent(event).into_iter().find_map(message).expect("one event").data
}

fn any_text() -> impl Strategy<Value = String> {
    // Most of what could go wrong is in few characters, so these are frequent.
    let special = prop::sample::select(vec!['\r', '\n', '\0', ':', ' ', '\u{feff}', '\u{2028}', '\u{85}', '\u{b}']);
    let c = prop_oneof![special, any::<char>()];
    prop::collection::vec(c, 0..40).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn any_event_arrives_as_it_was(
        data in any_text(),
        event_type in prop::option::of(any_text()),
        id in prop::option::of(any_text()),
        retry in prop::option::of(0_u64..=86_400_000),
    ) {
        let event_type = event_type.and_then(|text| EventType::new(&text).ok());
        let id = id.and_then(|text| EventId::new(&text).ok());
        let mut event = Event::text(&data);
        let mut expected = Vec::new();
        if let Some(ms) = retry {
            event = event.with_retry(Duration::from_millis(ms)).unwrap();
            expected.push(Item::Retry(Duration::from_millis(ms)));
        }
        if let Some(event_type) = &event_type {
            event = event.with_type(event_type.clone()).unwrap();
        }
        if let Some(id) = &id {
            event = event.with_id(id.clone()).unwrap();
        }
        let items = sent(&event);
        let arrived = items.iter().cloned().find_map(message).unwrap();
        prop_assert_eq!(&arrived.data, &data.replace("\r\n", "\n").replace('\r', "\n"));
        prop_assert_eq!(&arrived.event_type, event_type.as_ref().map_or("message", EventType::as_str));
        if let Some(id) = id {
            prop_assert_eq!(&arrived.last_event_id, id.as_str());
        }
        expected.push(Item::Message(arrived));
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn fields_are_refused_exactly_by_the_rules(text in any_text()) {
        let fits = !text.is_empty() && text.len() <= 255;
        let c0_or_c1 = |c| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}');
        prop_assert_eq!(EventType::new(&text).is_ok(), fits && !text.contains(c0_or_c1));
        let trimmed = text.trim_matches(' ').len() == text.len();
        prop_assert_eq!(EventId::new(&text).is_ok(), fits && trimmed && !text.contains(c0_or_c1));
        prop_assert_eq!(Channel::new(&text).is_ok(), fits && !text.contains(c0_or_c1));
    }
}

#[test]
fn json_is_sent_byte_for_byte() {
    for json in [
        "1.10",
        "12345678901234567890",
        "-0.0",
        "1E400",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{ "a" :  [1,2] }"#,
        "null",
        r#""""#,
        r#""\u00e9\ud83c\udf0a/\/""#,
        "\"\u{2028}\u{85}\"",
    ] {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        assert_eq!(data_of(&Event::raw_json(raw)), json);
    }
}

#[test]
fn json_over_several_lines_stays_the_same_value() {
    let raw = RawValue::from_string("{\r\n  \"a\":\r1\n}".to_owned()).unwrap();
    assert_eq!(data_of(&Event::raw_json(raw)), "{\n  \"a\":\n1\n}");
}

#[test]
fn a_value_is_written_as_json_and_text_as_it_is() {
    assert_eq!(data_of(&Event::json("hello").unwrap()), r#""hello""#);
    assert_eq!(data_of(&Event::text("hello")), "hello");
    assert_eq!(data_of(&Event::json(&()).unwrap()), "null");
    let keys = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(Event::json(&keys).unwrap_err().is_invalid());
}

#[test]
fn text_keeps_everything_but_its_kind_of_line_ends() {
    for text in [
        "",
        " ",
        "  two spaces in front",
        "data: forged",
        ": no comment",
        "\n",
        "\n\n",
        "a\n",
        "a\n\n\nb\n\n",
        "\u{feff}mark",
        "a\0b",
        "\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}",
        "\u{1f30a} \u{10ffff}",
    ] {
        assert_eq!(data_of(&Event::text(text)), text);
    }
    for (text, arrives) in [("a\r\nb", "a\nb"), ("a\rb", "a\nb"), ("a\n\rb", "a\n\nb"), ("a\r\r\nb\r", "a\n\nb\n")] {
        assert_eq!(data_of(&Event::text(text)), arrives);
    }
}

/// A type could have control characters other than line breaks and NUL. A type that began with `\x01` forged a
/// `stream-reset` in a program that used that character as a mark.
#[test]
fn no_type_id_or_name_has_a_control_character() {
    for text in ["a\nb", "a\rb", "\n", "a\0", "\u{1}stream-reset", "a\tb", "a\u{1f}", "\u{7f}", "a\u{85}b", "\u{9f}"] {
        assert!(EventType::new(text).unwrap_err().is_invalid(), "{text:?}");
        assert!(EventId::new(text).unwrap_err().is_invalid(), "{text:?}");
        assert!(Channel::new(text).unwrap_err().is_invalid(), "{text:?}");
    }
    for id in [" a", "a ", " ", "a\u{a0}\u{80}"] {
        assert!(EventId::new(id).unwrap_err().is_invalid(), "{id:?}");
    }
    for id in ["a b", "\u{a0}", "\u{2028}", "é"] {
        assert!(EventId::new(id).is_ok(), "{id:?}");
    }
}

#[test]
fn two_types_are_reserved_for_the_hub() {
    for event_type in [STREAM_RESET, STREAM_OPEN] {
        assert!(Event::text("x").with_type(event_type).unwrap_err().is_invalid());
    }
    assert!(Event::text("x").with_type("Stream-Reset").is_ok());
}

#[test]
fn names_ids_types_and_keys_are_1_to_255_bytes() {
    let (fits, not) = ("é".repeat(127) + "x", "é".repeat(128));
    assert_eq!((fits.len(), not.len()), (255, 256));
    assert!(Channel::new(&fits).is_ok() && Channel::new(&not).unwrap_err().is_invalid());
    assert!(EventId::new(&fits).is_ok() && EventId::new(&not).unwrap_err().is_invalid());
    assert!(EventType::new(&fits).is_ok() && EventType::new(&not).unwrap_err().is_invalid());
    assert!(IdempotencyKey::new(&fits).is_ok() && IdempotencyKey::new(&not).unwrap_err().is_invalid());
    assert!(Channel::new("").unwrap_err().is_invalid());
    assert!(EventType::new("").unwrap_err().is_invalid());
    assert!(EventId::new("").unwrap_err().is_invalid());
    assert!(IdempotencyKey::new("").unwrap_err().is_invalid());
    // The longest of each, through the log and back.
    let event = Event::text("x").with_id(&*fits).unwrap().with_type(&*fits).unwrap();
    let arrived = sent(&event).into_iter().find_map(message).unwrap();
    assert_eq!((arrived.last_event_id, arrived.event_type), (fits.clone(), fits));
}

#[test]
fn retry_is_up_to_a_day() {
    let day = Duration::from_secs(86_400);
    assert!(Event::text("x").with_retry(day).is_ok());
    assert!(Event::text("x").with_retry(day + Duration::from_millis(1)).unwrap_err().is_invalid());
    let items = sent(&Event::text("x").with_retry(Duration::ZERO).unwrap());
    assert_eq!(items[0], Item::Retry(Duration::ZERO));
}

#[test]
fn an_event_is_as_large_as_the_limits_allow_and_no_larger() {
    let (hub, _) = hub_with(default_with!(Limits { event_data_bytes_max: 100, frame_bytes_max: 200 }));
    publish(&hub, "sse", &"x".repeat(100));
    assert!(hub.publish_now("sse", Event::text("x".repeat(101))).unwrap_err().is_too_large());
    // Each line takes seven more bytes on the wire: 28 lines and the empty line at the end make 197, and 29 make 204.
    assert!(hub.publish_now("sse", Event::text("\n".repeat(27))).is_ok());
    assert!(hub.publish_now("sse", Event::text("\n".repeat(28))).unwrap_err().is_too_large());
}

/// A limit above that of the decoder accepted an event whose frame then decoded as nothing: in a history it was an empty
/// event.
#[test]
fn an_event_too_large_for_the_decoder_is_refused_whatever_the_limits() {
    let all = default_with!(Limits { event_data_bytes_max: usize::MAX, frame_bytes_max: usize::MAX });
    let (hub, _) = hub_with(all);
    let largest = "x".repeat(tidecast::limits::FRAME_BYTES_MAX - "data: \n\n".len());
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    publish(&hub, "sse", &largest);
    let Some(Delivery::Event(delivered)) = ready_next(&mut subscription) else { panic!("an event") };
    assert_eq!(delivered.frame.message().data.len(), largest.len());
    assert!(hub.publish_now("sse", Event::text(largest + "x")).unwrap_err().is_too_large());
}
