//! Coming back by an id that the publisher gave: found where its event is, the newest of several alike, and nothing else
//! taken for it.

use tidecast::{Hub, Limits};

use crate::support::{Browser, hub_with, publish, publish_with_id};

#[test]
fn an_own_id_is_found_and_the_newest_of_several_alike_counts() {
    let hub = Hub::new();
    for (data, id) in [("0", "x"), ("1", "same"), ("2", "same"), ("3", "y")] {
        publish_with_id(&hub, "sse", data, id);
    }
    publish(&hub, "sse", "4");
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.last_event_id = "same".to_owned();
    browser.connect();
    assert_eq!(browser.told(), ["3", "4"]);
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
fn own_ids_are_found_in_every_block_of_memory_of_a_log() {
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

/// It was taken for the position in a channel without a log, so that whoever had seen that event got all there was again,
/// or was told `expired`, each time it came back.
#[test]
fn an_own_id_that_is_the_start_of_a_channel_without_a_log_is_found() {
    let (hub, _) = hub_with(Limits { log_events_max: 3, ..Limits::default() });
    let mut browser = Browser::connected(&hub, &["sse"]);
    for number in 0..6 {
        publish_with_id(&hub, "sse", &number.to_string(), "0.0");
        assert_eq!(browser.told(), [number.to_string()]);
    }
    assert_eq!(browser.last_event_id, "0.0");
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
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
