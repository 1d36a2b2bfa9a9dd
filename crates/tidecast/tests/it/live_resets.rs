//! Resets of connected readers: overrun, too slow for the age of events, or on a channel that is deleted.

use tidecast::{Hub, Limits};

use crate::support::{Browser, default_with, forget, hub_with, publish, secs};

fn publish_many(hub: &Hub, channel: &str, count: usize) {
    for number in 0..count {
        publish(hub, channel, &format!("{channel}{number}"));
    }
}

#[test]
fn a_reader_that_the_log_overran_is_too_slow() {
    let hub = hub_with(default_with!(Limits { log_events_max: 3 })).0;
    let mut browser = Browser::connected(&hub, &["sse", "other"]);
    publish_many(&hub, "sse", 2);
    assert_eq!(browser.told(), ["sse0", "sse1"]);
    publish_many(&hub, "sse", 4);
    assert_eq!(browser.told(), ["sse too-slow", "sse1", "sse2", "sse3"]);
    publish_many(&hub, "sse", 3);
    assert_eq!(browser.told(), ["sse0", "sse1", "sse2"]);
    assert_eq!(hub.stats().resets_too_slow, 1);
}

#[test]
fn a_reader_whose_events_grew_too_old_is_too_slow() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "old");
    clock.advance(secs(11));
    hub.sweep();
    assert_eq!(browser.told(), ["sse too-slow"]);
    publish(&hub, "sse", "new");
    assert_eq!(browser.told(), ["new"]);
}

#[test]
fn readers_of_a_deleted_channel_are_told_restarted() {
    let hub = Hub::new();
    let mut behind = Browser::connected(&hub, &["sse"]);
    let mut at_the_head = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "before");
    assert_eq!(at_the_head.told(), ["before"]);
    assert!(forget(&hub, "sse"));
    publish(&hub, "sse", "after");
    assert_eq!(behind.told(), ["sse restarted", "after"]);
    assert_eq!(at_the_head.told(), ["sse restarted", "after"]);
    at_the_head.connect();
    assert_eq!(at_the_head.told(), [""; 0]);
    assert_eq!(hub.stats().resets_restarted, 2);
}

#[test]
fn a_channel_that_is_deleted_twice_before_a_reader_reads_is_one_reset() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    for _ in 0..3 {
        publish(&hub, "sse", "x");
        forget(&hub, "sse");
    }
    assert_eq!(browser.told(), ["sse restarted"]);
}
