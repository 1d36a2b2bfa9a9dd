//! Streams that stand at taps: what they read, whom a channel tells, and what is counted.

use std::sync::Arc;

use tidecast::{
    Hub, Limits, Start, Subscription,
    internals::{GroupRead, ReaderGroups},
    wire::FirstBlock,
};

use crate::{
    far::far_hub,
    stream::Rung,
    support::{decode, forget, hub_with, name, numbers, publish, publish_numbers, ready_bytes, secs, told},
};

fn opened(hub: &Hub, channels: &[&str]) -> Subscription {
    let mut subscription = hub.subscribe(channels.iter().copied(), Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    subscription
}

fn taps() -> (ReaderGroups, Arc<Rung>) {
    let rung = Arc::new(Rung::default());
    (ReaderGroups::new(rung.clone()), rung)
}

fn text(tapped: &GroupRead) -> &str {
    let GroupRead::Frames { bytes, .. } = tapped else { panic!("{tapped:?}") };
    str::from_utf8(bytes).expect("it is text")
}

#[test]
fn what_is_read_at_a_spot_is_what_a_subscription_reads() {
    let hub = Hub::new();
    let mut beside = opened(&hub, &["a"]);
    let (mut taps, _rung) = taps();
    let (key, spot) = taps.attach(opened(&hub, &["a"])).unwrap();
    assert!(matches!(taps.read(key, spot, 1000), GroupRead::CaughtUp));
    publish_numbers(&hub, "a", 1..=3);
    let read = taps.read(key, spot, 1000);
    assert_eq!(text(&read).as_bytes(), ready_bytes(&mut beside, 1000));
    let GroupRead::Frames { next, count, .. } = read else { panic!("frames") };
    assert_eq!(count, 3);
    assert!(matches!(taps.read(key, next, 1000), GroupRead::CaughtUp));
    // At least one frame, whatever the bound.
    let GroupRead::Frames { count, .. } = taps.read(key, spot, 1) else { panic!("a frame") };
    assert_eq!(count, 1);
}

#[test]
fn what_was_published_before_it_came_to_the_tap_is_still_to_be_read() {
    let hub = Hub::new();
    let subscription = opened(&hub, &["a"]);
    publish(&hub, "a", "before");
    let (mut taps, rung) = taps();
    let (key, spot) = taps.attach(subscription).unwrap();
    assert_eq!(rung.count(), 0);
    assert!(text(&taps.read(key, spot, 1000)).contains("data: before\nid: "));
}

#[test]
fn a_channel_tells_a_mailbox_once_however_many_stand_there() {
    let hub = Hub::new();
    let (mut taps, rung) = taps();
    let keys: Vec<_> = (0..10).map(|_| taps.attach(opened(&hub, &["a"])).unwrap().0).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(taps.readers(keys[0]), 10);
    let (other, _) = taps.attach(opened(&hub, &["b"])).unwrap();
    assert_ne!(other, keys[0]);
    let receivers = hub.publish_now("a", tidecast::Event::text("x")).unwrap().receivers;
    assert_eq!((receivers, rung.count()), (10, 1));
    for _ in &keys {
        taps.leave(keys[0]);
    }
    assert_eq!(taps.readers(keys[0]), 0);
    publish(&hub, "a", "x");
    assert_eq!(rung.count(), 1, "nobody stands there");
    // The key is free for another.
    assert_eq!(taps.attach(opened(&hub, &["c"])).unwrap().0, keys[0]);
}

#[test]
fn who_can_not_stand_is_given_back_as_it_was() {
    let hub = Hub::new();
    let (mut taps, _rung) = taps();
    let mut several = *taps.attach(opened(&hub, &["a", "b"])).unwrap_err();
    // It has not told its id.
    let unopened = *taps.attach(hub.subscribe(["a"], Start::Live).unwrap()).unwrap_err();
    // It has a reset to tell.
    let mut due = hub.subscribe(["a"], Start::After("00c0ffee1234.17".into())).unwrap();
    due.first_block(FirstBlock::default());
    let mut due = *taps.attach(due).unwrap_err();
    publish(&hub, "a", "x");
    assert!(ready_bytes(&mut several, 1000).starts_with(b"data: x\nid: "));
    assert!(ready_bytes(&mut due, 1000).starts_with(b"event: stream-reset\n"));
    assert!(taps.attach(due).is_ok(), "it was told");
    drop((several, unopened));
    assert_eq!(hub.stats().subscriptions, 1);
}

#[test]
fn one_that_fell_off_the_log_is_lifted_and_told() {
    let (hub, _clock) = hub_with(Limits { log_events_max: 2, ..Limits::default() });
    let (mut taps, rung) = taps();
    let (key, spot) = taps.attach(opened(&hub, &["a"])).unwrap();
    publish_numbers(&hub, "a", 1..=5);
    assert!(matches!(taps.read(key, spot, 1000), GroupRead::Lost));
    let mut lifted = taps.into_subscription(key, spot).unwrap();
    assert_eq!(taps.readers(key), 0);
    let bytes = String::from_utf8(ready_bytes(&mut lifted, 1000)).unwrap();
    assert!(
        bytes.contains("too-slow") && bytes.contains("data: a4\n") && bytes.contains("\n\ndata: a5\nid: "),
        "{bytes}"
    );
    // Its bell is its own again.
    let before = rung.count();
    publish(&hub, "a", "x");
    assert_eq!(rung.count(), before);
    assert!(ready_bytes(&mut lifted, 1000).starts_with(b"data: x\nid: "));
}

/// What it has read at the tap is where it goes on in the broker's history.
#[test]
fn one_that_fell_off_the_log_goes_on_in_history_where_it_stood() {
    let (hub, _broker) = far_hub(3);
    let (mut taps, _rung) = taps();
    let (key, spot) = taps.attach(opened(&hub, &["a"])).unwrap();
    publish_numbers(&hub, "a", 1..=2);
    let GroupRead::Frames { next, .. } = taps.read(key, spot, 1000) else { panic!("frames") };
    publish_numbers(&hub, "a", 3..=9);
    assert!(matches!(taps.read(key, next, 1000), GroupRead::Lost));
    let mut lifted = taps.into_subscription(key, next).unwrap();
    let told: Vec<_> = decode(&ready_bytes(&mut lifted, 1000)).iter().map(told).collect();
    assert_eq!(told, numbers("a", 3..=9));
}

/// At a tap nothing is passed over, and one that resumes is not to be sent what was foreign before it came.
#[test]
fn who_has_to_pass_over_something_foreign_can_not_stand() {
    let (hub, broker) = far_hub(100);
    let _other = opened(&hub, &["a"]);
    let first = publish(&hub, "a", "a1");
    broker.send_foreign("a", "old");
    publish(&hub, "a", "a2");
    let mut resumed = hub.subscribe(["a"], Start::After(first.to_string().into())).unwrap();
    resumed.first_block(FirstBlock::default());
    let (mut taps, _rung) = taps();
    let mut resumed = *taps.attach(resumed).unwrap_err();
    assert_eq!(decode(&ready_bytes(&mut resumed, 1000)).iter().map(told).collect::<Vec<_>>(), ["a2"]);
    assert!(taps.attach(resumed).is_ok());
}

#[test]
fn a_channel_that_is_forgotten_tells_the_mailbox() {
    let hub = Hub::new();
    let (mut taps, rung) = taps();
    publish(&hub, "a", "x");
    let (key, spot) = taps.attach(opened(&hub, &["a"])).unwrap();
    assert!(forget(&hub, "a"));
    assert_eq!(rung.count(), 1);
    assert!(matches!(taps.read(key, spot, 1000), GroupRead::Lost));
    let bytes = ready_bytes(&mut taps.into_subscription(key, spot).unwrap(), 1000);
    assert!(String::from_utf8(bytes).unwrap().contains("restarted"));
}

#[test]
fn who_stands_at_a_tap_is_counted_as_a_subscriber_and_keeps_its_channel() {
    let (hub, clock) = hub_with(Limits::default());
    let (mut taps, _rung) = taps();
    let (key, spot) = taps.attach(opened(&hub, &["a"])).unwrap();
    let stats = hub.stats();
    assert_eq!((stats.subscribed, stats.subscriptions, stats.channel_readers), (1, 1, 1));
    assert_eq!(hub.channel(&name("a")).unwrap().subscribers, 1);
    clock.advance(secs(3600));
    hub.sweep();
    assert!(hub.channel(&name("a")).is_some(), "it is read");
    publish(&hub, "a", "x");
    let GroupRead::Frames { bytes, count, .. } = taps.read(key, spot, 1000) else { panic!("frames") };
    assert_eq!(hub.stats().delivered, 0);
    taps.count_delivered(key, count.into(), bytes.len() as u64);
    assert_eq!((hub.stats().delivered, hub.stats().delivered_bytes), (1, bytes.len() as u64));
    taps.leave(key);
    assert_eq!((hub.stats().subscriptions, hub.stats().channel_readers), (0, 0));
    for _ in 0..2 {
        clock.advance(secs(3600));
        hub.sweep();
    }
    assert!(hub.channel(&name("a")).is_none(), "nobody reads it");
}

#[test]
fn taps_that_go_have_their_readers_leave() {
    let hub = Hub::new();
    let (mut taps, _rung) = taps();
    for channel in ["a", "a", "b"] {
        taps.attach(opened(&hub, &[channel])).unwrap();
    }
    assert_eq!(hub.stats().subscriptions, 3);
    drop(taps);
    assert_eq!((hub.stats().subscriptions, hub.stats().channel_readers), (0, 0));
}

#[test]
fn the_end_of_the_hub_is_told_after_what_was_published() {
    let hub = Hub::new();
    let (mut taps, rung) = taps();
    let (key, spot) = taps.attach(opened(&hub, &["a"])).unwrap();
    publish(&hub, "a", "last");
    hub.close();
    assert!(rung.count() > 1 && hub.is_closed());
    assert!(text(&taps.read(key, spot, 1000)).contains("data: last\nid: "));
}
