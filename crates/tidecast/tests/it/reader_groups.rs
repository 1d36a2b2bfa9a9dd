//! Streams in reader groups: what they read, when they are woken, and what is counted.

use std::sync::Arc;

use tidecast::{
    Hub, Limits, Start, Subscription,
    internals::{GroupRead, ReaderGroups},
    wire::FirstBlock,
};

use crate::{
    far::far_hub,
    stream::Wakes,
    support::{
        decode, default_with, forget, hub_with, name, numbers, publish, publish_numbers, ready_bytes, secs, told,
    },
};

fn opened(hub: &Hub, channels: &[&str]) -> Subscription {
    let mut subscription = hub.subscribe(channels.iter().copied(), Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    subscription
}

fn new_groups() -> (ReaderGroups, Arc<Wakes>) {
    let wakes = Arc::new(Wakes::default());
    (ReaderGroups::new(wakes.clone()), wakes)
}

fn text(read: &GroupRead) -> &str {
    let GroupRead::Frames { bytes, .. } = read else { panic!("{read:?}") };
    str::from_utf8(bytes).expect("it is text")
}

#[test]
fn a_group_reads_what_a_subscription_reads() {
    let hub = Hub::new();
    let mut beside = opened(&hub, &["a"]);
    let (mut groups, _rung) = new_groups();
    let (key, cursor) = groups.attach(opened(&hub, &["a"])).unwrap();
    assert!(matches!(groups.read(key, cursor, 1000), GroupRead::CaughtUp));
    publish_numbers(&hub, "a", 1..=3);
    let read = groups.read(key, cursor, 1000);
    assert_eq!(text(&read).as_bytes(), ready_bytes(&mut beside, 1000));
    let GroupRead::Frames { next, count, .. } = read else { panic!("frames") };
    assert_eq!(count, 3);
    assert!(matches!(groups.read(key, next, 1000), GroupRead::CaughtUp));
    // At least one frame, whatever the limit.
    let GroupRead::Frames { count, .. } = groups.read(key, cursor, 1) else { panic!("a frame") };
    assert_eq!(count, 1);
}

#[test]
fn events_from_before_a_reader_was_attached_are_still_unread() {
    let hub = Hub::new();
    let subscription = opened(&hub, &["a"]);
    publish(&hub, "a", "before");
    let (mut groups, wakes) = new_groups();
    let (key, cursor) = groups.attach(subscription).unwrap();
    assert_eq!(wakes.count(), 0);
    assert!(text(&groups.read(key, cursor, 1000)).contains("data: before\nid: "));
}

#[test]
fn a_channel_wakes_a_group_once_however_many_readers_it_has() {
    let hub = Hub::new();
    let (mut groups, wakes) = new_groups();
    let keys: Vec<_> = (0..10).map(|_| groups.attach(opened(&hub, &["a"])).unwrap().0).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(groups.readers(keys[0]), 10);
    let (other, _) = groups.attach(opened(&hub, &["b"])).unwrap();
    assert_ne!(other, keys[0]);
    let receivers = hub.publish_now("a", tidecast::Event::text("x")).unwrap().receivers;
    assert_eq!((receivers, wakes.count()), (10, 1));
    for _ in &keys {
        groups.leave(keys[0]);
    }
    assert_eq!(groups.readers(keys[0]), 0);
    publish(&hub, "a", "x");
    assert_eq!(wakes.count(), 1, "the group is empty");
    // The key is free for another channel.
    assert_eq!(groups.attach(opened(&hub, &["c"])).unwrap().0, keys[0]);
}

#[test]
fn a_subscription_that_can_not_be_attached_is_returned_as_it_was() {
    let hub = Hub::new();
    let (mut groups, _rung) = new_groups();
    let mut several = *groups.attach(opened(&hub, &["a", "b"])).unwrap_err();
    // It has not told its id.
    let unopened = *groups.attach(hub.subscribe(["a"], Start::Live).unwrap()).unwrap_err();
    // It has a reset to tell.
    let mut due = hub.subscribe(["a"], Start::After("00c0ffee1234.17".into())).unwrap();
    due.first_block(FirstBlock::default());
    let mut due = *groups.attach(due).unwrap_err();
    publish(&hub, "a", "x");
    assert!(ready_bytes(&mut several, 1000).starts_with(b"data: x\nid: "));
    assert!(ready_bytes(&mut due, 1000).starts_with(b"event: stream-reset\n"));
    assert!(groups.attach(due).is_ok(), "it was told");
    drop((several, unopened));
    assert_eq!(hub.stats().subscriptions, 1);
}

#[test]
fn a_reader_that_fell_behind_the_log_becomes_a_subscription_and_is_told() {
    let (hub, _clock) = hub_with(default_with!(Limits { log_events_max: 2 }));
    let (mut groups, wakes) = new_groups();
    let (key, cursor) = groups.attach(opened(&hub, &["a"])).unwrap();
    publish_numbers(&hub, "a", 1..=5);
    assert!(matches!(groups.read(key, cursor, 1000), GroupRead::Lost));
    let mut lifted = groups.into_subscription(key, cursor).unwrap();
    assert_eq!(groups.readers(key), 0);
    let bytes = String::from_utf8(ready_bytes(&mut lifted, 1000)).unwrap();
    assert!(
        bytes.contains("too-slow") && bytes.contains("data: a4\n") && bytes.contains("\n\ndata: a5\nid: "),
        "{bytes}"
    );
    // Its ready set is its own again.
    let before = wakes.count();
    publish(&hub, "a", "x");
    assert_eq!(wakes.count(), before);
    assert!(ready_bytes(&mut lifted, 1000).starts_with(b"data: x\nid: "));
}

/// It continues in the broker's history after the events that it read in the group.
#[test]
fn a_reader_that_fell_behind_the_log_continues_in_the_history() {
    let (hub, _broker) = far_hub(3);
    let (mut groups, _rung) = new_groups();
    let (key, cursor) = groups.attach(opened(&hub, &["a"])).unwrap();
    publish_numbers(&hub, "a", 1..=2);
    let GroupRead::Frames { next, .. } = groups.read(key, cursor, 1000) else { panic!("frames") };
    publish_numbers(&hub, "a", 3..=9);
    assert!(matches!(groups.read(key, next, 1000), GroupRead::Lost));
    let mut lifted = groups.into_subscription(key, next).unwrap();
    let told: Vec<_> = decode(&ready_bytes(&mut lifted, 1000)).iter().map(told).collect();
    assert_eq!(told, numbers("a", 3..=9));
}

/// A group skips nothing, and a reader that resumes must not get foreign events from before it came.
#[test]
fn a_subscription_that_must_skip_a_foreign_event_can_not_be_attached() {
    let (hub, broker) = far_hub(100);
    let _other = opened(&hub, &["a"]);
    let first = publish(&hub, "a", "a1");
    broker.send_foreign("a", "old");
    publish(&hub, "a", "a2");
    let mut resumed = hub.subscribe(["a"], Start::After(first.to_string().into())).unwrap();
    resumed.first_block(FirstBlock::default());
    let (mut groups, _rung) = new_groups();
    let mut resumed = *groups.attach(resumed).unwrap_err();
    assert_eq!(decode(&ready_bytes(&mut resumed, 1000)).iter().map(told).collect::<Vec<_>>(), ["a2"]);
    assert!(groups.attach(resumed).is_ok());
}

#[test]
fn a_channel_that_is_deleted_wakes_its_group() {
    let hub = Hub::new();
    let (mut groups, wakes) = new_groups();
    publish(&hub, "a", "x");
    let (key, cursor) = groups.attach(opened(&hub, &["a"])).unwrap();
    assert!(forget(&hub, "a"));
    assert_eq!(wakes.count(), 1);
    assert!(matches!(groups.read(key, cursor, 1000), GroupRead::Lost));
    let bytes = ready_bytes(&mut groups.into_subscription(key, cursor).unwrap(), 1000);
    assert!(String::from_utf8(bytes).unwrap().contains("restarted"));
}

#[test]
fn a_reader_in_a_group_is_counted_as_a_subscriber_and_keeps_its_channel() {
    let (hub, clock) = hub_with(Limits::default());
    let (mut groups, _rung) = new_groups();
    let (key, cursor) = groups.attach(opened(&hub, &["a"])).unwrap();
    let stats = hub.stats();
    assert_eq!((stats.subscribed, stats.subscriptions, stats.channel_readers), (1, 1, 1));
    assert_eq!(hub.channel(&name("a")).unwrap().subscribers, 1);
    clock.advance(secs(3600));
    hub.sweep();
    assert!(hub.channel(&name("a")).is_some(), "it is read");
    publish(&hub, "a", "x");
    let GroupRead::Frames { bytes, count, .. } = groups.read(key, cursor, 1000) else { panic!("frames") };
    assert_eq!(hub.stats().delivered, 0);
    groups.count_delivered(key, count.into(), bytes.len() as u64);
    assert_eq!((hub.stats().delivered, hub.stats().delivered_bytes), (1, bytes.len() as u64));
    groups.leave(key);
    assert_eq!((hub.stats().subscriptions, hub.stats().channel_readers), (0, 0));
    for _ in 0..2 {
        clock.advance(secs(3600));
        hub.sweep();
    }
    assert!(hub.channel(&name("a")).is_none(), "nobody reads it");
}

#[test]
fn readers_leave_when_their_groups_are_dropped() {
    let hub = Hub::new();
    let (mut groups, _rung) = new_groups();
    for channel in ["a", "a", "b"] {
        groups.attach(opened(&hub, &[channel])).unwrap();
    }
    assert_eq!(hub.stats().subscriptions, 3);
    drop(groups);
    assert_eq!((hub.stats().subscriptions, hub.stats().channel_readers), (0, 0));
}

#[test]
fn a_group_reads_the_last_events_before_the_end_of_the_hub() {
    let hub = Hub::new();
    let (mut groups, wakes) = new_groups();
    let (key, cursor) = groups.attach(opened(&hub, &["a"])).unwrap();
    publish(&hub, "a", "last");
    hub.close();
    assert!(wakes.count() > 1 && hub.is_closed());
    assert!(text(&groups.read(key, cursor, 1000)).contains("data: last\nid: "));
}
