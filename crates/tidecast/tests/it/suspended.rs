//! A broker that is cut off: readers stay, new ones wait, and none misses an event once the broker is back. And a broker that
//! stops listening to channels without readers.

use std::{sync::Arc, time::Duration};

use tidecast::{
    Delivery, Hub, Limits, Position, ResetReason, Start, Subscription, clock::ManualClock, wire::FirstBlock,
};

use crate::{
    far::{FarBroker, far_hub},
    support::{Browser, default_with, name, numbers, publish, publish_numbers, ready_bytes, ready_next},
};

fn suspend(broker: &FarBroker) {
    broker.lag();
    broker.deliveries().suspend(&name("sse"));
}

#[test]
fn a_reader_that_has_started_stays_and_a_new_one_waits() {
    let (hub, broker) = far_hub(100);
    let mut begun = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "sse1");
    suspend(&broker);
    assert_eq!(begun.told(), ["sse1"]);

    let block = FirstBlock::default();
    let mut live = hub.subscribe(["sse"], Start::Live).unwrap();
    assert_eq!(live.first_block(block), ": tidecast\nretry: 3000\n");
    let mut newest = hub.subscribe(["sse"], Start::Last(1)).unwrap();
    assert_eq!(newest.first_block(block), ": tidecast\nretry: 3000\n");
    let mut resumed = hub.subscribe(["sse"], Start::After(first.to_string().into())).unwrap();
    assert_eq!(resumed.first_block(block), format!(": tidecast\nretry: 3000\nid: {first}\n\n"));
    for subscription in [&mut live, &mut newest, &mut resumed] {
        assert_eq!(ready_bytes(subscription, 1000), b"");
    }

    // The node fills the gap, and goes live.
    publish_numbers(&hub, "sse", 2..=3);
    broker.deliver_all("sse");
    assert_eq!(begun.told(), numbers("sse", 2..=3), "who has begun need not wait");
    let before = hub.channel(&name("sse")).unwrap().head;
    assert_eq!(ready_bytes(&mut live, 1000), b"");
    broker.deliveries().go_live(&name("sse"));
    let at = |offset| Position { offset, ..before };
    assert_eq!(ready_bytes(&mut live, 1000), format!("id: {before}\n\n").into_bytes());
    let expected = format!("id: {}\n\ndata: sse3\nid: {before}\n\n", at(2));
    assert_eq!(ready_bytes(&mut newest, 1000), expected.into_bytes());
    let expected = format!("id: {first}\n\ndata: sse2\nid: {}\n\ndata: sse3\nid: {before}\n\n", at(2));
    assert_eq!(ready_bytes(&mut resumed, 1000), expected.into_bytes());
    // Once it is live, this changes nothing.
    broker.deliveries().go_live(&name("sse"));
    assert_eq!(ready_next(&mut live), None);
}

#[test]
fn a_channel_that_is_opened_late_starts_where_it_stands_then() {
    let (hub, broker) = far_hub(100);
    broker.open_late();
    publish_numbers(&hub, "sse", 1..=3);
    let mut live = Browser::connected(&hub, &["sse"]);
    let mut newest = Browser::new(&hub, &["sse"]);
    newest.connect_from(Start::Last(2));
    let mut both = Browser::connected(&hub, &["sse", "other"]);
    both.read();
    assert_eq!((live.told(), newest.told(), both.told()), (vec![], vec![], vec![]));
    assert_eq!(live.last_event_id, "");
    // Going live before it is open has no effect.
    broker.deliveries().go_live(&name("sse"));
    assert_eq!(live.told(), [""; 0]);
    assert_eq!(live.last_event_id, "");

    broker.open("sse");
    publish(&hub, "sse", "sse4");
    assert_eq!(live.told(), ["sse4"]);
    assert_eq!(newest.told(), numbers("sse", 2..=4));
    assert_eq!(both.told(), ["sse4"]);
    broker.open("other");
    assert_eq!(both.told(), [""; 0]);
    assert_eq!(both.last_event_id, format!("{},0.0", live.last_event_id));
}

#[test]
fn a_waiting_reader_gets_every_event_since_the_log_went_live_even_if_it_is_suspended_again() {
    let (hub, broker) = far_hub(100);
    broker.open_late();
    let mut waiting = Browser::connected(&hub, &["sse"]);
    assert_eq!(waiting.told(), [""; 0]);
    broker.open("sse");
    publish(&hub, "sse", "one");
    broker.deliveries().suspend(&name("sse"));
    assert_eq!(waiting.told(), [""; 0]);
    broker.deliveries().go_live(&name("sse"));
    publish(&hub, "sse", "two");
    assert_eq!(waiting.told(), ["one", "two"]);

    // A reader that does not even poll in between is told.
    suspend(&broker);
    let mut late = hub.subscribe(["sse"], Start::Live).unwrap();
    for data in ["three", "four"] {
        broker.deliveries().go_live(&name("sse"));
        publish(&hub, "sse", data);
        broker.deliver_all("sse");
        broker.deliveries().suspend(&name("sse"));
    }
    broker.deliveries().go_live(&name("sse"));
    assert!(matches!(ready_next(&mut late), Some(Delivery::Reset(reset)) if reset.reason == ResetReason::TooSlow));
}

/// Events that were published while a channel was being opened were lost in silence, because waiting readers started where
/// the channel stood once it was open.
#[test]
fn a_waiting_reader_starts_where_the_broker_says_that_the_channel_stood() {
    let (hub, broker) = far_hub(100);
    publish_numbers(&hub, "sse", 1..=2);
    broker.open_late();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    let mut newest = hub.subscribe(["sse"], Start::Last(1)).unwrap();
    assert!(broker.deliveries().longest_wait(&name("sse")).is_some());
    broker.miss_all("sse");
    publish_numbers(&hub, "sse", 3..=4);
    broker.deliver_all("sse");
    let head = hub.channel(&name("sse")).unwrap().head;
    broker.deliveries().go_live_after(&name("sse"), Position { offset: 2, ..head }, None);
    assert_eq!(broker.deliveries().longest_wait(&name("sse")), None);
    let read = |subscription: &mut Subscription| String::from_utf8(ready_bytes(subscription, 1000)).unwrap();
    for (subscription, begins_at) in [(&mut subscription, 3), (&mut newest, 2)] {
        let text = read(subscription);
        let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data, numbers("sse", begins_at..=4), "{text}");
    }
    // A reader that comes now was not there.
    assert_eq!(ready_next(&mut hub.subscribe(["sse"], Start::Live).unwrap()), None);
}

#[test]
fn closing_the_hub_ends_waiting_readers() {
    let (hub, broker) = far_hub(100);
    suspend(&broker);
    broker.open_late();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    assert_eq!(ready_next(&mut subscription), None);
    hub.close();
    assert_eq!(crate::support::now(subscription.next()), None);
}

/// Creates a hub on a clock, with these limits.
fn far_hub_with_clock(limits: Limits) -> (Hub, Arc<FarBroker>, Arc<ManualClock>) {
    let broker = Arc::new(FarBroker::default());
    let clock = Arc::new(ManualClock::default());
    (Hub::builder().limits(limits).clock(clock.clone()).broker(broker.clone()).build(), broker, clock)
}

#[test]
fn the_broker_stops_listening_to_a_channel_without_readers_and_not_before() {
    let (hub, broker, clock) = far_hub_with_clock(Limits::default());
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "sse1");
    assert_eq!(browser.told(), ["sse1"]);
    assert!(!broker.deliveries().suspend_if_unread(&name("sse")), "it is read");
    browser.cut();
    hub.sweep();
    assert!(broker.listens("sse"));
    clock.advance(Duration::from_secs(1));
    hub.sweep();
    assert!(!broker.listens("sse"));
    // No node listens to this.
    publish(&hub, "sse", "sse2");
    assert_eq!(hub.channel(&name("sse")).unwrap().head.offset, 1);
    browser.connect();
    assert!(broker.listens("sse"));
    publish(&hub, "sse", "sse3");
    assert_eq!(browser.told(), ["sse2", "sse3"]);
}

#[test]
fn the_broker_keeps_listening_for_a_reader_that_comes_in_between() {
    let (hub, broker, clock) = far_hub_with_clock(Limits::default());
    Browser::connected(&hub, &["sse"]).cut();
    clock.advance(Duration::from_secs(1));
    // A sweep tells the broker that there is no reader; before the broker acts on it, one comes.
    let mut late_release = Browser::new(&hub, &["sse"]);
    hub.sweep();
    assert!(!broker.listens("sse"));
    late_release.connect();
    tidecast::broker::Broker::release(&*broker, &name("sse"));
    assert!(broker.listens("sse"));
    publish(&hub, "sse", "x");
    assert_eq!(late_release.told(), ["x"]);
}

/// A log that was evicted before its broker was told that it had no reader left the broker listening for ever: one more
/// channel for each name that somebody tried.
#[test]
fn a_log_is_not_evicted_before_the_broker_has_stopped_listening() {
    let limits = default_with!(Limits { idle_channels_max: 0, log_age_max: Duration::ZERO });
    let (hub, broker, clock) = far_hub_with_clock(limits);
    Browser::connected(&hub, &["sse"]).cut();
    hub.sweep();
    assert!(broker.listens("sse"));
    assert!(hub.channel(&name("sse")).is_some());
    clock.advance(Duration::from_secs(1));
    hub.sweep();
    assert!(!broker.listens("sse"));
    assert!(hub.channel(&name("sse")).is_none());
}
