//! Positions, idempotency and retention.

use tidecast_test::wait_until;

use super::*;

#[test]
fn every_event_is_delivered_and_retained_at_the_next_position() {
    let mut rig = ScriptRig::new();
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let first = rig.publish("1");
    for offset in 2..=20 {
        assert_eq!(rig.publish(&offset.to_string()), Position { offset, ..first });
    }
    for offset in 1..=20 {
        let (position, event, partial) = subscriber.next_native();
        assert_eq!((position, event.data(), partial), (Position { offset, ..first }, &*offset.to_string(), false));
    }
    let page = rig.read(Some(0));
    assert_eq!(page.head, Position { offset: 20, ..first });
    assert_eq!(texts(&page), (1..=20).map(|offset| (offset, offset.to_string())).collect::<Vec<_>>());
    assert_eq!(rig.head(), Some(page.head));

    let accepted = rig.try_publish(&Event::text("x"), None, "").unwrap();
    assert_eq!(accepted.redis_receivers, 1);
}

#[test]
fn channels_of_any_name_have_their_own_positions() {
    let mut rig = ScriptRig::new();
    let names = ["a", "a b", "{a}", "}{", "a:meta", "tidecast:{a}:meta", "Grüße 🌊", "%7B", "100%"];
    for name in names {
        rig.use_channel(name);
        let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", name);
        for offset in 1..=2 {
            assert_eq!(rig.publish(name).offset, offset, "{name}");
            let (position, event, _) = subscriber.next_native();
            assert_eq!((position.offset, event.data()), (offset, name));
        }
    }
    assert_eq!(rig.number(&["DBSIZE"]), 2 * names.len() as i64);
}

#[test]
fn the_array_is_published_and_the_object_is_stored() {
    let mut rig = ScriptRig::new();
    rig.format = PlainFormat::Array;
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let event = Event::json(&[1, 2]).unwrap().with_type("t").unwrap().with_id("17").unwrap();
    rig.try_publish(&event, None, "").unwrap();
    let payload = subscriber.next();
    assert!(payload.starts_with(br#"["t","[1,2]"]"#), "{}", payload.escape_ascii());
    assert!(matches!(decode(&payload, &Limits::default()), Decoded::Native { partial: true, .. }));
    let page = rig.read(None);
    assert_eq!(page.events[0].payload, br#"{"data":[1,2],"type":"t","id":"17"}"#);
}

/// Flask-SSE's subscribers call `json.loads` on the bytes of a message.
#[test]
fn python_reads_what_is_published() {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    let mut rig = ScriptRig::new();
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let event = Event::text("caf\u{e9} \u{2028}\r\n\0").with_type("t").unwrap().with_id("17").unwrap();
    rig.try_publish(&event.with_retry(Duration::from_millis(5)).unwrap(), None, "").unwrap();
    rig.try_publish(&Event::json(&serde_json::json!({"a": [1.5, null]})).unwrap(), None, "").unwrap();
    rig.format = PlainFormat::Array;
    rig.try_publish(&Event::text("x"), None, "").unwrap();
    let expected = [
        r"{'data': 'caf\xe9 \u2028\r\n\x00', 'type': 't', 'id': '17', 'retry': 5}",
        "{'data': {'a': [1.5, None]}}",
        "['message', 'x']",
    ];
    for expected in expected {
        let mut python = Command::new("python3")
            .args(["-c", "import json, sys; print(ascii(json.loads(sys.stdin.buffer.read())))"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        python.stdin.take().unwrap().write_all(&subscriber.next()).unwrap();
        let read = python.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(read.stdout).unwrap().trim(), expected);
    }
}

#[test]
fn a_known_key_returns_the_first_receipt_and_delivers_nothing() {
    let mut rig = ScriptRig::new();
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let first = rig.publish_once("first", "key {1}:\u{e9}", "3 receivers\nand an id");
    assert!(!first.repeated);
    assert_eq!(first.receipt, "3 receivers\nand an id");
    rig.publish("second");
    let again = rig.publish_once("other", "key {1}:\u{e9}", "ignored");
    assert_eq!(again, Accepted { repeated: true, redis_receivers: 0, ..first.clone() });
    let other = rig.publish_once("third", "key 2", "");
    assert_eq!((other.repeated, other.position.offset, &*other.receipt), (false, 3, ""));
    for text in ["first", "second", "third"] {
        assert_eq!(subscriber.next_native().1.data(), text);
    }
    // Keys of different channels are distinct.
    rig.use_channel("other");
    assert!(!rig.publish_once("x", "key 2", "").repeated);
}

#[test]
fn a_key_expires_and_is_forgotten_with_its_channel() {
    let mut rig = ScriptRig::new();
    rig.retention.idempotency_age_max = Duration::from_millis(50);
    rig.publish_once("x", "key", "");
    assert!(wait_until(|| !rig.publish_once("x", "key", "").repeated));

    rig.retention.idempotency_age_max = DAY;
    rig.publish_once("x", "other", "");
    rig.forget();
    let after = rig.publish_once("x", "other", "");
    assert_eq!((after.repeated, after.position.offset), (false, 1));

    // Without its hash, the channel has no earlier epochs.
    let meta = rig.keys.meta.clone();
    rig.command(&["DEL", &meta]);
    assert!(!rig.publish_once("x", "other", "").repeated);

    rig.retention.idempotency_age_max = Duration::ZERO;
    assert!(!rig.publish_once("x", "third", "").repeated);
    assert!(!rig.publish_once("x", "third", "").repeated);
}

#[test]
fn a_channel_without_its_hash_starts_over_without_its_events() {
    let mut rig = ScriptRig::new();
    let first = rig.publish("old");
    let meta = rig.keys.meta.clone();
    rig.command(&["DEL", &meta]);
    let after = rig.publish("new");
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, first.epoch);
    assert_eq!(texts(&rig.read(None)), [(1, "new".to_owned())]);
}

#[test]
fn a_damaged_hash_starts_over() {
    /// Two texts that look like epochs but are not. The script accepted them, so every publish to such a channel failed
    /// until the hash was deleted.
    const NEVER_DRAWN: &str = "000000000000";
    const LOST: &str = "ffffffffffff";
    /// Lua rounds this to the last valid offset.
    const PAST_THE_LAST: &str = "9007199254740993";
    let mut rig = ScriptRig::new();
    let meta = rig.keys.meta.clone();
    for (field, damage) in [
        ("o", ""),
        ("o", "x"),
        ("o", "-1"),
        ("o", "1.5"),
        ("o", "nan"),
        ("o", "inf"),
        ("o", PAST_THE_LAST),
        ("e", "abc"),
        ("e", "zzzzzzzzzzzz"),
        ("e", NEVER_DRAWN),
        ("e", LOST),
    ] {
        let before = rig.publish("old");
        rig.command(&["HSET", &meta, field, damage, "l", "junk"]);
        // Readers agree with the next publish.
        assert_eq!(rig.head(), None, "{field} {damage}");
        if damage != PAST_THE_LAST {
            assert!(rig.is_empty(), "{field} {damage}");
        }
        let after = rig.publish("new");
        assert_eq!(after.offset, 1, "{field} {damage}");
        assert_ne!(after.epoch, before.epoch);
        let page = rig.read(None);
        assert_eq!((texts(&page), page.lineage), (vec![(1, "new".to_owned())], Lineage::default()));
    }
}

/// A damaged part in the list of earlier epochs made every read of the channel fail until the hash was deleted.
#[test]
fn a_damaged_part_of_the_lineage_is_left_out() {
    let mut rig = ScriptRig::new();
    let meta = rig.keys.meta.clone();
    let first = rig.publish("x");
    rig.command(&["HSET", &meta, "l", "junk,000000000000.1,00c0ffee1234.1"]);
    let page = rig.read(Some(0));
    assert_eq!((page.head, page.lineage.ends().len()), (first, 1));
}

#[test]
fn offsets_are_exact_up_to_the_last() {
    const LAST: u64 = 1 << 53;
    let mut rig = ScriptRig::new();
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let first = rig.publish("x");
    subscriber.next();
    let meta = rig.keys.meta.clone();
    for start in [99_999_999_999_999, 123_456_789_012_345, LAST - 4] {
        rig.command(&["HSET", &meta, "o", &start.to_string()]);
        for offset in start + 1..=start + 3 {
            assert_eq!(rig.publish_once("x", &offset.to_string(), "").position, Position { offset, ..first });
            assert_eq!(subscriber.next_native().0.offset, offset);
            assert_eq!(rig.publish_once("x", &offset.to_string(), "").position.offset, offset);
            assert_eq!(offsets(&rig.read(Some(offset - 1))), [offset]);
        }
    }
    assert_eq!(rig.publish("x"), Position { offset: LAST, ..first });
    assert_eq!(subscriber.next_native().0.offset, LAST);
    let after = rig.publish("x");
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, first.epoch);
}

#[test]
fn a_damaged_stream_loses_no_publish() {
    let mut rig = ScriptRig::new();
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let events = rig.keys.events.clone();
    let mut before = rig.publish("x");
    subscriber.next();
    let last = format!("{0}-{0}", u64::MAX);
    let damages: [&[&str]; 3] = [
        &["XADD", &events, "999999-1", "p", "of an earlier generation"],
        &["XADD", &events, &last, "p", "nothing comes after this"],
        &["SET", &events, "not a stream"],
    ];
    for damage in damages {
        rig.command(damage);
        let after = rig.publish("saved");
        assert_eq!(after.offset, before.offset + 1);
        assert_ne!(after.epoch, before.epoch);
        let page = rig.read(Some(before.offset));
        assert_eq!((page.complete, texts(&page)), (true, vec![(after.offset, "saved".to_owned())]));
        assert_eq!((subscriber.next_native().0, page.lineage), (after, Lineage::default()));
        assert!(rig.number(&["PTTL", &events]) > 0);
        before = after;
    }
}

#[test]
fn events_are_trimmed_by_count() {
    let mut rig = ScriptRig::new();
    rig.command(&["CONFIG", "SET", "stream-node-max-entries", "10"]);
    rig.retention.events_max = 5;
    let (mut newest, events) = (0, rig.keys.events.clone());
    for _ in 0..100 {
        newest = rig.publish("x").offset;
        let len = rig.number(&["XLEN", &events]);
        assert!(len <= 5 + 10, "{len}");
    }
    let page = rig.read(Some(0));
    assert!(!page.complete && page.events.len() >= 5);
    assert_eq!(page.events.last().unwrap().offset, newest);
    assert!(rig.read(Some(newest - 5)).complete);
}

#[test]
fn events_are_trimmed_by_age_and_never_before_it() {
    const AGE_MS: u64 = 400;
    let mut rig = ScriptRig::new();
    rig.retention.events_age_max = Duration::from_millis(AGE_MS);
    let events = rig.keys.events.clone();
    // The times of the events, by the server's clock.
    let mut published = Vec::new();
    let trimmed = wait_until(|| {
        rig.publish("x");
        let newest = rig.command(&["XREVRANGE", &events, "+", "-", "COUNT", "1"]);
        published.push(entry_ms(&newest));
        let oldest = rig.command(&["XRANGE", &events, "-", "+", "COUNT", "1"]);
        let gone = entry_offset(&oldest) as usize - 1;
        let now = *published.last().unwrap();
        assert!(published[..gone].iter().all(|at| at + AGE_MS <= now), "{gone} of {published:?}");
        // Until most of the first events are gone.
        gone > 20
    });
    assert!(trimmed, "nothing was trimmed");
    let age_max = AGE_MS + AGE_MS / 8;
    assert!(rig.number(&["PTTL", &events]) <= age_max as i64);

    // Without further publishes, the stream expires as a whole. The position stays.
    let (head, meta) = (rig.head().unwrap(), rig.keys.meta.clone());
    assert!(wait_until(|| rig.number(&["EXISTS", &events]) == 0));
    assert!(rig.number(&["PTTL", &meta]) > 80_000_000);
    let page = rig.read(Some(head.offset - 1));
    assert_eq!((page.head, page.complete, page.events.len()), (head, false, 0));
    assert_eq!(rig.publish("x"), Position { offset: head.offset + 1, ..head });
    assert!(rig.number(&["PTTL", &events]) > 0);
}

#[test]
fn a_clock_that_was_set_back_is_detected() {
    let mut rig = ScriptRig::new();
    rig.publish("x");
    let (meta, events) = (rig.keys.meta.clone(), rig.keys.events.clone());
    rig.command(&["HSET", &meta, "h", "99999999999999", "m", "1.99999999999000"]);
    rig.command(&["PERSIST", &events]);
    rig.publish("x");
    assert!(rig.number(&["PTTL", &events]) > 0);
    assert!(!rig.text(&["HGET", &meta, "m"]).contains("99999999999000"));
}

#[test]
fn without_history_nothing_is_retained() {
    let mut rig = ScriptRig::new();
    rig.publish("kept");
    let (meta, events) = (rig.keys.meta.clone(), rig.keys.events.clone());
    rig.retention.events_max = 0;
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", "sse");
    let position = rig.publish("not kept");
    assert_eq!(position.offset, 2);
    assert_eq!(subscriber.next_native().0, position);
    assert_eq!(rig.number(&["EXISTS", &events]), 0);
    assert!(rig.number(&["PTTL", &meta]) > 0);
    let page = rig.read(Some(1));
    assert_eq!((page.head, page.complete, page.events.len()), (position, false, 0));
    // The stream of another node that retains events must expire too.
    rig.retention.events_max = 10;
    rig.publish("kept");
    assert!(rig.number(&["PTTL", &events]) > 0);
}

/// Returns the parts of the id of the only entry.
fn entry_id(entries: &Value) -> (u64, u64) {
    let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(entries.clone()).unwrap();
    let (offset, ms) = entries[0].0.split_once('-').unwrap();
    (offset.parse().unwrap(), ms.parse().unwrap())
}

fn entry_offset(entries: &Value) -> u64 {
    entry_id(entries).0
}

fn entry_ms(entries: &Value) -> u64 {
    entry_id(entries).1
}
