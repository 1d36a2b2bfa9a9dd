//! Publishers that use an id twice, or give an event the position of another event or channel as its id; and clients that
//! return with any id that they saw or made up. A client gets every event after the newest one with that id, or is told first
//! and gets the kept events, in order to the end: never less.

use proptest::prelude::*;
use tidecast::{Hub, Limits, Position, STREAM_RESET, Start};

use crate::{
    far::far_hub,
    support::{Browser, default_with, hub_with, publish, publish_with_id},
};

#[derive(Debug, Clone)]
enum Id {
    /// No own id: the position.
    None,
    /// One of a few.
    OneOf(usize),
    /// A position in the log's present epoch, at this offset.
    Here(u64),
    /// A position of another channel.
    There(u64),
    /// A position of an unknown epoch.
    Nowhere(u64),
}

fn any_id() -> impl Strategy<Value = Id> {
    prop_oneof![
        3 => Just(Id::None),
        6 => (0..3_usize).prop_map(Id::OneOf),
        2 => (0..12_u64).prop_map(Id::Here),
        1 => (1..4_u64).prop_map(Id::There),
        1 => (1..4_u64).prop_map(Id::Nowhere),
    ]
}

/// Returns with `id`, and returns the events that follow and the reason of the reset before them.
fn resumed(hub: &Hub, id: &str) -> (Vec<usize>, Option<String>) {
    let mut browser = Browser::new(hub, &["sse"]);
    browser.connect_from(Start::After(id.into()));
    let (mut events, mut reset) = (Vec::new(), None);
    for message in browser.read() {
        if message.event_type == STREAM_RESET {
            assert!(events.is_empty() && reset.is_none(), "one reset, and it comes first");
            let data: serde_json::Value = serde_json::from_str(&message.data).expect("JSON");
            reset = Some(data["reason"].as_str().expect("a reason").to_owned());
        } else {
            events.push(message.data.parse().expect("a number"));
        }
    }
    (events, reset)
}

/// Publishes events with these ids, and returns with each. `kept` is how many of the newest events are kept.
fn check(hub: &Hub, ids: &[Id], kept: usize) -> Result<(), TestCaseError> {
    let there = publish(hub, "other", "x");
    let first = publish(hub, "sse", "0");
    let written = |id: &Id| match id {
        Id::None => None,
        Id::OneOf(number) => Some(format!("order {number}")),
        Id::Here(offset) => Some(Position { offset: *offset, ..first }.to_string()),
        Id::There(offset) => Some(Position { offset: *offset, ..there }.to_string()),
        Id::Nowhere(offset) => Some(format!("00c0ffee1234.{offset}")),
    };
    // The last id of a client after each event, and whether it is the publisher's own.
    let mut seen = vec![(first.to_string(), false)];
    for (number, id) in (1..).zip(ids) {
        let data = number.to_string();
        seen.push(match written(id) {
            Some(id) => {
                publish_with_id(hub, "sse", &data, &id);
                (id, true)
            }
            None => (publish(hub, "sse", &data).to_string(), false),
        });
    }
    let (count, oldest) = (seen.len(), seen.len().saturating_sub(kept));
    for (id, _) in &seen {
        let (events, reset) = resumed(hub, id);
        let begins = events.first().copied().unwrap_or(count);
        prop_assert_eq!(&events, &(begins..count).collect::<Vec<_>>(), "in order to the end, after {}", id);
        for (at, (other, is_own)) in seen.iter().enumerate() {
            // An own id whose first event is gone can't be told from one that was used once.
            if other == id && (at >= oldest || !is_own) {
                let whole = begins == at + 1;
                prop_assert!(whole || reset.is_some(), "{} at {}: {:?}", id, at, events);
                // After an unknown epoch, the log's events follow.
                let is_all = begins <= at + 1 || begins <= oldest || reset.as_deref() == Some("restarted");
                prop_assert!(is_all, "{} at {}: {:?} {:?}", id, at, events, reset);
            }
        }
    }
    for id in ["made up", "00c0ffee1234.0", "0.0,0.0", &Position { offset: 99, ..first }.to_string()] {
        let (events, reset) = resumed(hub, id);
        prop_assert!(reset.is_some() || seen.iter().any(|(seen, _)| seen == id));
        prop_assert_eq!(events.last().copied(), Some(count - 1));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn in_memory(log_events_max in 1..8_usize, ids in prop::collection::vec(any_id(), 0..10)) {
        let (hub, _) = hub_with(default_with!(Limits { log_events_max }));
        check(&hub, &ids, log_events_max)?;
    }

    /// The log has only the newest events, and the broker's history has all.
    #[test]
    fn with_a_brokers_history(log_events_max in 1..8_usize, ids in prop::collection::vec(any_id(), 0..10)) {
        // An id that is a position of the log is not searched for in the history.
        let ids: Vec<_> = ids.into_iter().filter(|id| !matches!(id, Id::Here(_))).collect();
        let (hub, _) = far_hub(log_events_max);
        let _reader = hub.subscribe(["sse"], Start::Live).unwrap();
        check(&hub, &ids, usize::MAX)?;
    }
}
