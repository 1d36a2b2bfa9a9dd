//! The limits of one log: events, bytes and age, on a manual clock.

use std::time::Duration;

use tidecast::{ChannelInfo, Event, Hub, Limits, Start};

use crate::support::{Browser, default_with, hub_with, name, now, publish, publish_with_id, publish_with_key, secs};

fn log(hub: &Hub, channel: &str) -> ChannelInfo {
    hub.channel(&name(channel)).expect("the channel is known")
}

/// Returns the data in the log of `sse`, oldest first.
fn kept(hub: &Hub) -> Vec<String> {
    let history = now(hub.newest(&name("sse"), 1000)).expect("the memory broker is always available");
    history.events.into_iter().map(|event| event.data().into_owned()).collect()
}

#[test]
fn a_log_keeps_the_newest_events() {
    let (hub, _) = hub_with(default_with!(Limits { log_events_max: 3 }));
    for number in 1..=100 {
        let position = publish(&hub, "sse", &number.to_string());
        let log = log(&hub, "sse");
        assert_eq!(log.events, number.min(3));
        assert_eq!(log.head, position);
        assert_eq!(log.tail.offset, number.saturating_sub(3) as u64);
    }
    assert_eq!(kept(&hub), ["98", "99", "100"]);
}

#[test]
fn a_log_keeps_the_newest_bytes_of_frames() {
    let frame = "data: 1234567890\nid: 00c0ffee1234.1\n\n".len();
    let (hub, _) = hub_with(default_with!(Limits { log_bytes_max: 3 * frame }));
    for number in 1..=9 {
        publish(&hub, "sse", &format!("123456789{number}"));
        let log = log(&hub, "sse");
        assert_eq!(log.bytes, number.min(3) * frame);
    }
    // A larger event displaces as many as it takes, and one that is larger than all others displaces them all.
    publish(&hub, "sse", &"x".repeat(frame));
    assert_eq!(kept(&hub).len(), 2);
    publish(&hub, "sse", &"x".repeat(3 * frame));
    assert_eq!(kept(&hub), ["x".repeat(3 * frame)]);
}

#[test]
fn neither_count_nor_bytes_drop_the_newest_event() {
    for limits in [
        default_with!(Limits { log_events_max: 0 }),
        default_with!(Limits { log_bytes_max: 0 }),
        default_with!(Limits { log_events_max: 0, log_bytes_max: 0 }),
    ] {
        let (hub, _) = hub_with(limits);
        let mut browser = Browser::connected(&hub, &["sse"]);
        for number in 0..3 {
            publish(&hub, "sse", &number.to_string());
            hub.sweep();
            assert_eq!(kept(&hub), [number.to_string()]);
            assert_eq!(browser.told(), [number.to_string()]);
        }
    }
}

#[test]
fn age_drops_the_newest_event_too() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
    let _reader = hub.subscribe(["sse"], Start::Live).unwrap();
    publish(&hub, "sse", "0 s");
    clock.advance(secs(4));
    publish(&hub, "sse", "4 s");
    clock.advance(secs(6));
    hub.sweep();
    assert_eq!(kept(&hub), ["0 s", "4 s"], "not older than 10 s");
    clock.advance(Duration::from_millis(1));
    hub.sweep();
    assert_eq!(kept(&hub), ["4 s"]);
    clock.advance(secs(4));
    hub.sweep();
    assert_eq!(kept(&hub), [""; 0]);
    let log = log(&hub, "sse");
    assert_eq!((log.tail, log.head.offset, log.bytes), (log.head, 2, 0));
}

#[test]
fn a_publish_ages_its_own_log_without_a_sweep() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
    publish(&hub, "sse", "old");
    clock.advance(secs(11));
    let position = publish(&hub, "sse", "new");
    assert_eq!(kept(&hub), ["new"]);
    assert_eq!(position.offset, 2);
}

#[test]
fn with_an_age_of_zero_a_log_has_only_live_events() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: Duration::ZERO }));
    let mut browser = Browser::connected(&hub, &["sse"]);
    for number in 0..3 {
        publish(&hub, "sse", &number.to_string());
        assert_eq!(browser.told(), [number.to_string()]);
        clock.advance(Duration::from_millis(1));
        hub.sweep();
        assert_eq!(kept(&hub), [""; 0]);
    }
}

#[test]
fn a_log_frees_its_memory_as_its_events_are_dropped() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
    let _reader = hub.subscribe(["sse"], Start::Live).unwrap();
    let before = hub.stats().logs_bytes;
    for number in 0..10_000 {
        publish(&hub, "sse", &number.to_string());
    }
    let full = hub.stats().logs_bytes;
    assert!(full > before + 10_000 * 40, "{full}");
    clock.advance(secs(8));
    for number in 0..100 {
        publish(&hub, "sse", &number.to_string());
    }
    clock.advance(secs(8));
    hub.sweep();
    let few = hub.stats().logs_bytes;
    assert!(few < before + 64 * 1024 + 100 * 100, "one block and a short table, not {few}");
    clock.advance(secs(8));
    hub.sweep();
    assert_eq!(hub.stats().logs_bytes, before);
}

#[test]
fn the_accounted_memory_covers_the_events() {
    let (hub, _) = hub_with(default_with!(Limits { log_bytes_max: 100_000 }));
    for number in 0..1000 {
        publish(&hub, "sse", &"x".repeat(number % 300));
        let (log, stats) = (log(&hub, "sse"), hub.stats());
        assert!(stats.logs_bytes > log.bytes as u64);
        assert!(stats.logs_bytes < 2 * log.bytes as u64 + 64 * 1024 + 2000 * 40, "{stats:?}");
        assert_eq!(stats.log_events, log.events as u64);
    }
}

#[test]
fn the_history_has_the_kept_events_with_types_and_ids() {
    let hub = Hub::new();
    let at = publish(&hub, "sse", "a\r\nb");
    publish_with_id(&hub, "sse", "c", "own");
    hub.publish_now("sse", Event::text("d").with_type("t").unwrap()).unwrap();
    let history = now(hub.newest(&name("sse"), 3)).unwrap();
    assert!(history.complete);
    let events: Vec<_> =
        history.events.iter().map(|e| [e.id(), e.event_type().to_owned(), e.data().into_owned()]).collect();
    let last = history.events[2].position.to_string();
    let first = at.to_string();
    assert_eq!(events, [[&*first, "message", "a\nb"], ["own", "message", "c"], [&*last, "t", "d"]]);
    assert!(now(hub.newest(&name("sse"), 0)).unwrap().events.is_empty());
    assert!(now(hub.newest(&name("unused"), 1)).unwrap().events.is_empty());
    assert!(now(hub.newest(&name("sse"), 1001)).unwrap_err().is_invalid());
    assert_eq!(hub.channel(&name("unused")), None, "asking makes no channel");
}

/// The longest possible time overflowed: the first sweep panicked, and so did the second publish with a key.
#[test]
fn the_longest_time_is_for_ever() {
    let limits = default_with!(Limits { log_age_max: Duration::MAX, idempotency_age_max: Duration::MAX });
    let (hub, clock) = hub_with(limits);
    let key = || tidecast::IdempotencyKey::new("k").unwrap();
    let first = publish_with_key(&hub, "a", Event::text("kept"), key()).unwrap();
    drop(hub.subscribe(["silent"], Start::Live).unwrap());
    clock.advance(Duration::from_secs(1 << 32));
    hub.sweep();
    assert_eq!(publish_with_key(&hub, "a", Event::text("again"), key()).unwrap().position, first.position);
    assert_eq!((hub.stats().log_events, hub.stats().channels), (1, 2));
}

/// JSON of any depth and numbers of any length were accepted, and crashed every reader in Python.
#[test]
fn json_is_limited_in_depth_and_in_digits() {
    let hub = Hub::new();
    let publish = |json: &str| {
        let raw = serde_json::value::RawValue::from_string(json.to_owned()).expect("it is JSON");
        hub.publish_now("sse", Event::raw_json(raw)).map(|_| ())
    };
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let digits = |count| "7".repeat(count);
    let quoted = format!("[\"\\\\\\\"{}{}\"]", "[".repeat(1000), digits(5000));
    for fits in [
        nested(128),
        objects(128),
        // Side by side they are not nested, and in a string they are text.
        format!("[{}1]", "[],".repeat(1000)),
        quoted,
        digits(4300),
        format!("[{},{}]", digits(4000), digits(4000)),
        format!("[-{}.{}e-10,true,{}]", digits(2000), digits(2000), digits(4000)),
    ] {
        publish(&fits).expect("it fits");
    }
    for (json, says) in [
        (nested(129), "is JSON nested deeper than 128 levels, at byte 128"),
        (objects(129), "is JSON nested deeper than 128 levels, at byte 640"),
        (nested(100_000), "nested deeper"),
        (digits(4301), "has a JSON number of more than 4300 digits, at byte 4300: send it as a string"),
        (format!("[1,-{}.{}e5]", digits(4000), digits(300)), "more than 4300 digits"),
    ] {
        let error = publish(&json).expect_err("it does not fit");
        assert!(error.is_invalid() && error.to_string().contains(says), "{error}");
    }
    hub.publish_now("sse", Event::text(nested(100_000))).expect("text is not looked at");
}
