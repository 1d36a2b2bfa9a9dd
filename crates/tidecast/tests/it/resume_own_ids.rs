//! Resuming by a publisher's own id: it is found with its event, the oldest of several equal ids counts, and nothing else is
//! taken for it.

use tidecast::{Hub, Limits, Position};

use crate::support::{Browser, default_with, hub_with, publish, publish_with_id};

/// Returns the deliveries of a browser that returns with this id.
fn told_after(hub: &Hub, id: &str) -> Vec<String> {
    let mut browser = Browser::new(hub, &["sse"]);
    browser.last_event_id = id.to_owned();
    browser.connect();
    browser.told()
}

/// The newest of several equal ids counted: a reader that had seen only the first lost the events in between, in silence.
#[test]
fn the_oldest_of_several_equal_own_ids_counts_and_is_a_reset() {
    let hub = Hub::new();
    for (data, id) in [("0", "x"), ("1", "same"), ("2", "same"), ("3", "y")] {
        publish_with_id(&hub, "sse", data, id);
    }
    publish(&hub, "sse", "4");
    assert_eq!(told_after(&hub, "x"), ["1", "2", "3", "4"]);
    assert_eq!(told_after(&hub, "same"), ["sse ambiguous-id", "2", "3", "4"]);
    assert_eq!(told_after(&hub, "y"), ["4"]);
    assert_eq!(hub.stats().resets_ambiguous_id, 1);
}

/// An own id that is also a position of the same log counted only as the position.
#[test]
fn an_own_id_that_is_a_position_of_the_log_means_the_older_of_both_and_is_a_reset() {
    let hub = Hub::new();
    let first = publish(&hub, "sse", "1");
    let at = |offset| Position { offset, ..first }.to_string();
    for (data, id) in [("2", at(1)), ("3", at(5)), ("4", at(4)), ("5", at(99))] {
        publish_with_id(&hub, "sse", data, &id);
    }
    assert_eq!(told_after(&hub, &at(1)), ["sse ambiguous-id", "2", "3", "4", "5"]);
    // An event before the position that is its id, and one at that position.
    assert_eq!(told_after(&hub, &at(5)), ["sse ambiguous-id", "4", "5"]);
    assert_eq!(told_after(&hub, &at(4)), ["5"]);
    assert_eq!(told_after(&hub, &at(2)), ["3", "4", "5"]);
    // The log has not reached that position, so it is unknown whether this is the event.
    assert_eq!(told_after(&hub, &at(99))[0], "sse unknown-id");
}

#[test]
fn an_own_id_whose_first_use_has_left_the_log_counts_as_used_once() {
    let (hub, _) = hub_with(default_with!(Limits { log_events_max: 3 }));
    for number in 0..5 {
        publish_with_id(&hub, "sse", &number.to_string(), if number % 3 == 0 { "same" } else { "other" });
    }
    assert_eq!(told_after(&hub, "same"), ["4"]);
    assert_eq!(told_after(&hub, "other"), ["sse ambiguous-id", "3", "4"]);
}

#[test]
fn an_own_id_is_not_found_in_another_that_it_is_a_part_of() {
    let hub = Hub::new();
    for id in ["same but longer", "sam", "aame"] {
        publish_with_id(&hub, "sse", "x", id);
    }
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.last_event_id = "same".to_owned();
    browser.connect();
    assert_eq!(browser.told()[0], "sse unknown-id");
}

#[test]
fn own_ids_are_found_in_every_segment_of_a_log() {
    let hub = Hub::new();
    let filler = "x".repeat(700);
    for number in 0..200 {
        publish_with_id(&hub, "sse", &filler, &format!("id-{number}"));
    }
    for number in [0, 1, 2, 50, 100, 198, 199] {
        let mut browser = Browser::new(&hub, &["sse"]);
        browser.last_event_id = format!("id-{number}");
        browser.connect();
        assert_eq!(browser.read().len(), 199 - number);
    }
}

#[test]
fn an_own_id_that_looks_like_a_position_is_found() {
    let hub = Hub::new();
    for (data, id) in [("0", "00c0ffee1234.1"), ("1", "00c0ffee1234.2"), ("2", "0.5"), ("3", "1.1,2.2")] {
        publish_with_id(&hub, "sse", data, id);
    }
    for (id, then) in [("00c0ffee1234.1", 3), ("00c0ffee1234.2", 2), ("0.5", 1), ("1.1,2.2", 0)] {
        let mut browser = Browser::new(&hub, &["sse"]);
        browser.last_event_id = id.to_owned();
        browser.connect();
        assert_eq!(browser.read().len(), then, "after {id}");
    }
}

/// It was taken for the position in a channel without a log. A reader that had seen that event got every event again, or was
/// told `expired`, each time it returned.
#[test]
fn an_own_id_that_is_the_start_of_a_channel_without_a_log_is_found() {
    let (hub, _) = hub_with(default_with!(Limits { log_events_max: 3 }));
    let mut browser = Browser::connected(&hub, &["sse"]);
    for number in 0..6 {
        let id = if number == 5 { "0.0" } else { "other" };
        publish_with_id(&hub, "sse", &number.to_string(), id);
        assert_eq!(browser.told(), [number.to_string()]);
    }
    assert_eq!(browser.last_event_id, "0.0");
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
}

/// A program may pass events on from one channel to another, and give them the ids that they had. The id of a page that then
/// reads more channels may be of either.
#[test]
fn an_own_id_that_is_a_position_of_another_channel_is_never_lost_among_several() {
    let hub = Hub::new();
    let [a, b] = ["a", "b"].map(|channel| publish(&hub, channel, channel).to_string());
    for id in [a.clone(), format!("{a},{b}")] {
        let channel = format!("c of {}", id.len());
        publish_with_id(&hub, &channel, "1", &id);
        publish(&hub, &channel, "2");
        let c = channel.as_str();
        for channels in [&[c][..], &[c, "new"], &["a", c], &[c, "b", "a"], &["a", "b", c]] {
            let mut browser = Browser::new(&hub, channels);
            browser.last_event_id.clone_from(&id);
            browser.connect();
            let told = browser.told();
            assert!(told.contains(&"2".to_owned()), "{channels:?} after {id}: {told:?}");
            let is_told = told.iter().any(|told| *told == format!("{c} ambiguous-id"));
            assert!(
                channels.len() == 1 || is_told || told.contains(&format!("{c} unknown-id")),
                "{channels:?} {told:?}"
            );
        }
    }
}

/// With a channel added, such an id counted only as the position, and the events up to that were lost without a reset.
#[test]
fn an_own_id_that_is_a_position_of_its_channel_is_a_reset_if_a_channel_is_added() {
    let hub = Hub::new();
    let [a, b] = ["a", "b"].map(|channel| publish(&hub, channel, "1"));
    let at = |offset| Position { offset, ..a }.to_string();
    for (data, id) in [("2", at(5)), ("3", format!("{},{b}", at(6))), ("4", "own".to_owned())] {
        publish_with_id(&hub, "a", data, &id);
    }
    for data in ["5", "6", "7"] {
        publish(&hub, "a", data);
    }
    for (id, then) in [(at(5), &["3", "4", "5", "6", "7"][..]), (format!("{},{b}", at(6)), &["4", "5", "6", "7"])] {
        for channels in [&["a"][..], &["a", "b"], &["b", "a"], &["new", "a", "b"]] {
            let mut browser = Browser::new(&hub, channels);
            browser.last_event_id.clone_from(&id);
            browser.connect();
            let told = browser.told();
            assert!(told.contains(&"a ambiguous-id".to_owned()), "{channels:?} after {id}: {told:?}");
            let of_a: Vec<_> = told.iter().filter(|told| !told.contains(' ')).collect();
            assert_eq!(of_a, then, "{channels:?} after {id}");
        }
    }
}

#[test]
fn on_several_channels_an_own_id_is_not_sent() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["a", "b"]);
    let a = publish_with_id(&hub, "a", "x", "own");
    let messages = browser.read();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].last_event_id.starts_with(&format!("{a},")), "{}", messages[0].last_event_id);
    browser.cut();
    publish(&hub, "b", "next");
    browser.connect();
    assert_eq!(browser.told(), ["next"]);
}

#[test]
fn an_own_id_after_positions_and_positions_after_an_own_id() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    for number in 0..6 {
        let data = number.to_string();
        if number % 2 == 0 {
            publish(&hub, "sse", &data);
        } else {
            publish_with_id(&hub, "sse", &data, &format!("own {number}"));
        }
        assert_eq!(browser.told(), [data]);
        browser.connect();
    }
}
