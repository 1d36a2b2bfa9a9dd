//! Cursors of another node that this node has not reached yet: readers wait if the broker knows the position.

use std::sync::Arc;

use tidecast::{Epoch, Hub, Limits, Position, Start};

use crate::{
    far::{Answers, FarBroker, far_hub, far_hub_on},
    support::{Browser, default_with, forget, name, numbers, publish, publish_numbers},
};

/// Creates two hubs on one server, of which the second lags, and a reader that has read five events on the first.
fn moved() -> (Hub, Hub, Arc<FarBroker>, Browser) {
    let (near, broker) = far_hub(100);
    let (lagging, lagging_broker) = far_hub_on(broker.server.clone(), Limits::default());
    let _reader = Browser::connected(&lagging, &["sse"]);
    lagging_broker.lag();
    let mut browser = Browser::connected(&near, &["sse"]);
    publish_numbers(&near, "sse", 1..=5);
    assert_eq!(browser.told(), numbers("sse", 1..=5));
    (near, lagging, lagging_broker, browser)
}

/// Moves a browser to another hub.
fn move_to(hub: &Hub, browser: &Browser) -> Browser {
    let mut moved = Browser::new(hub, &["sse"]);
    moved.last_event_id.clone_from(&browser.last_event_id);
    moved.connect();
    moved
}

fn told_after(hub: &Hub, position: Position) -> Vec<String> {
    let mut browser = Browser::new(hub, &["sse"]);
    browser.connect_from(Start::After(position.to_string().into()));
    browser.told()
}

#[test]
fn a_reader_waits_and_continues_without_duplicates() {
    let (near, lagging, broker, browser) = moved();
    broker.deliver("sse", 3);
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    for _ in 0..2 {
        broker.deliver("sse", 1);
        assert_eq!(browser.told(), [""; 0]);
    }
    assert_eq!(broker.asked(), 1, "what the broker said once holds");
    publish_numbers(&near, "sse", 6..=7);
    broker.deliver("sse", 1);
    assert_eq!(browser.told(), ["sse6"]);
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse7"]);
    assert_eq!(lagging.stats().resets_unknown_id, 0);
}

#[test]
fn a_reader_continues_after_a_gap_of_the_node_too() {
    let (near, lagging, broker, browser) = moved();
    broker.deliver("sse", 3);
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    publish_numbers(&near, "sse", 6..=9);
    broker.miss("sse", 5);
    broker.deliver_all("sse");
    assert_eq!(browser.told(), numbers("sse", 6..=9));
}

/// A broker that no longer had the events after a position was taken for one that had never reached the position.
#[test]
fn a_reader_waits_even_if_the_history_has_no_event() {
    let (near, lagging, broker, browser) = moved();
    broker.deliver("sse", 3);
    publish_numbers(&near, "sse", 6..=7);
    broker.server.trim(&name("sse"), 0);
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    broker.deliver_all("sse");
    assert_eq!(browser.told(), numbers("sse", 6..=7));
}

/// A channel's first event gives it its epoch. A node that had not heard of it took a cursor of that epoch for one of a log
/// that had started over, reported that, and then sent the event once more.
#[test]
fn a_reader_waits_if_its_node_has_not_heard_of_the_first_event() {
    let (near, lagging, broker, browser) = moved();
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    for _ in 0..5 {
        broker.deliver("sse", 1);
        assert_eq!(browser.told(), [""; 0]);
    }
    publish(&near, "sse", "sse6");
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse6"]);
    assert_eq!(lagging.stats().resets_restarted, 0);
}

#[test]
fn a_reader_waits_if_its_node_has_not_heard_of_a_new_epoch() {
    let (near, lagging, broker, mut browser) = moved();
    broker.deliver_all("sse");
    broker.restart("sse", 0);
    publish(&near, "sse", "sse6");
    assert_eq!(browser.told(), ["sse restarted", "sse6"]);
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    broker.deliver_all("sse");
    publish(&near, "sse", "sse7");
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse7"]);
    assert_eq!(lagging.stats().resets_restarted, 0);
}

/// The broker's answer for one epoch is no answer for the next. A reader that waited for a log without an epoch waited for
/// ever if the log's first event was of another epoch.
#[test]
fn an_unused_log_that_gets_another_epoch_is_a_reset() {
    let (near, lagging, broker, browser) = moved();
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    broker.restart("sse", 5);
    publish(&near, "sse", "new");
    broker.miss("sse", 5);
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse restarted", "new"]);
}

#[test]
fn a_log_that_starts_over_without_the_position_is_a_reset() {
    let (near, lagging, broker, browser) = moved();
    broker.deliver("sse", 3);
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [""; 0]);
    assert!(forget(&near, "sse"));
    publish(&near, "sse", "new");
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse restarted", "new"]);
}

#[test]
fn a_position_that_the_broker_does_not_know_is_unknown() {
    let (hub, _) = far_hub(3);
    let mut reader = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "sse1");
    publish_numbers(&hub, "sse", 2..=5);
    reader.read();
    for offset in [6, u64::MAX] {
        assert_eq!(told_after(&hub, Position { offset, ..first })[..2], ["sse unknown-id", "sse3"]);
    }
    for offset in [0, 2, 5, u64::MAX] {
        let elsewhere = Position { epoch: Epoch::random(), offset };
        assert_eq!(told_after(&hub, elsewhere)[..2], ["sse restarted", "sse3"]);
    }
    assert_eq!(hub.stats().resets_unknown_id, 2);
}

#[test]
fn on_an_unused_channel_every_position_is_unknown() {
    let (hub, _) = far_hub(3);
    let position = Position { epoch: Epoch::random(), offset: 5 };
    assert_eq!(told_after(&hub, position), ["sse restarted"]);
    assert_eq!(told_after(&hub, Position::START), [""; 0]);
}

#[test]
fn a_broker_that_fails_counts_as_one_that_does_not_know() {
    let (_near, lagging, broker, browser) = moved();
    broker.deliver("sse", 4);
    broker.answer(Answers::Fails);
    let mut browser = move_to(&lagging, &browser);
    assert_eq!(browser.told(), [vec!["sse unknown-id".to_owned()], numbers("sse", 1..=4)].concat());
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse5"]);
}

/// The reader had seen the foreign events before its position on the other node, but not those after it.
#[test]
fn foreign_events_are_sent_from_the_position_on() {
    let (near, broker) = far_hub(100);
    let (lagging, lagging_broker) = far_hub_on(broker.server.clone(), default_with!(Limits { log_events_max: 2 }));
    let _reader = Browser::connected(&lagging, &["sse"]);
    lagging_broker.lag();
    let mut browser = Browser::connected(&near, &["sse"]);
    publish(&near, "sse", "sse1");
    for old in ["old1", "old2", "old3"] {
        broker.send_foreign("sse", old);
    }
    publish(&near, "sse", "sse2");
    assert_eq!(browser.told(), ["sse1", "old1", "old2", "old3", "sse2"]);
    lagging_broker.deliver("sse", 1);
    let mut browser = move_to(&lagging, &browser);
    // One poll before each arrives, so that they leave the log while it is waited for.
    for _ in 0..4 {
        assert_eq!(browser.told(), [""; 0]);
        lagging_broker.deliver("sse", 1);
    }
    broker.send_foreign("sse", "new");
    lagging_broker.deliver_all("sse");
    assert_eq!(browser.told(), ["new"]);
    publish(&near, "sse", "sse3");
    lagging_broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse3"]);
    assert_eq!(lagging.stats().resets_too_slow, 0);
}
