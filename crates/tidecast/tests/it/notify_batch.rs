//! Rings that are held: once a channel, at the end, and never lost.

use std::sync::Arc;

use tidecast::{
    Hub, Start,
    internals::{NotifyBatch, ReaderGroups},
    wire::FirstBlock,
};

use crate::{
    stream::Rung,
    support::{publish, publish_numbers},
};

fn tapped(hub: &Hub, channel: &str) -> (ReaderGroups, Arc<Rung>) {
    let rung = Arc::new(Rung::default());
    let mut taps = ReaderGroups::new(rung.clone());
    let mut subscription = hub.subscribe([channel], Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    assert!(taps.attach(subscription).is_ok());
    (taps, rung)
}

#[test]
fn each_channel_is_rung_once_when_they_are_let_go_of() {
    let hub = Hub::new();
    let ((_a, rung_a), (_b, rung_b)) = (tapped(&hub, "a"), tapped(&hub, "b"));
    let held = NotifyBatch::begin();
    publish_numbers(&hub, "a", 1..=5);
    publish_numbers(&hub, "b", 1..=5);
    publish(&hub, "a", "x");
    let within = NotifyBatch::begin();
    publish(&hub, "a", "x");
    drop(within);
    assert_eq!((rung_a.count(), rung_b.count()), (0, 0));
    drop(held);
    assert_eq!((rung_a.count(), rung_b.count()), (1, 1));
    publish(&hub, "a", "x");
    assert_eq!(rung_a.count(), 2, "held no longer");
}

#[test]
fn past_their_bound_channels_are_rung_at_once() {
    let hub = Hub::new();
    let tapped: Vec<_> = (0..70).map(|number| tapped(&hub, &number.to_string())).collect();
    let rung = || -> usize { tapped.iter().map(|(_, rung)| rung.count()).sum() };
    let held = NotifyBatch::begin();
    for number in 0..70 {
        publish(&hub, &number.to_string(), "x");
    }
    assert_eq!(rung(), 6);
    drop(held);
    assert_eq!(rung(), 70);
}

#[test]
fn other_threads_are_not_held() {
    let hub = Hub::new();
    let (_taps, rung) = tapped(&hub, "a");
    let _held = NotifyBatch::begin();
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&hub, "a", "x"));
    });
    assert_eq!(rung.count(), 1);
}
