//! Deferred notifications: one for each channel, at the end, and none is lost.

use std::sync::Arc;

use tidecast::{
    Hub, Start,
    internals::{NotifyBatch, ReaderGroups},
    wire::FirstBlock,
};

use crate::{
    stream::Wakes,
    support::{publish, publish_numbers},
};

fn attached_reader(hub: &Hub, channel: &str) -> (ReaderGroups, Arc<Wakes>) {
    let wakes = Arc::new(Wakes::default());
    let mut groups = ReaderGroups::new(wakes.clone());
    let mut subscription = hub.subscribe([channel], Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    assert!(groups.attach(subscription).is_ok());
    (groups, wakes)
}

#[test]
fn each_channel_is_notified_once_at_the_end_of_the_batch() {
    let hub = Hub::new();
    let ((_a, wakes_a), (_b, wakes_b)) = (attached_reader(&hub, "a"), attached_reader(&hub, "b"));
    let batch = NotifyBatch::begin();
    publish_numbers(&hub, "a", 1..=5);
    publish_numbers(&hub, "b", 1..=5);
    publish(&hub, "a", "x");
    let within = NotifyBatch::begin();
    publish(&hub, "a", "x");
    drop(within);
    assert_eq!((wakes_a.count(), wakes_b.count()), (0, 0));
    drop(batch);
    assert_eq!((wakes_a.count(), wakes_b.count()), (1, 1));
    publish(&hub, "a", "x");
    assert_eq!(wakes_a.count(), 2, "the batch has ended");
}

#[test]
fn channels_beyond_the_limit_are_notified_at_once() {
    let hub = Hub::new();
    let attached: Vec<_> = (0..70).map(|number| attached_reader(&hub, &number.to_string())).collect();
    let wakes = || -> usize { attached.iter().map(|(_, wakes)| wakes.count()).sum() };
    let batch = NotifyBatch::begin();
    for number in 0..70 {
        publish(&hub, &number.to_string(), "x");
    }
    assert_eq!(wakes(), 6);
    drop(batch);
    assert_eq!(wakes(), 70);
}

#[test]
fn a_batch_does_not_defer_the_notifications_of_other_threads() {
    let hub = Hub::new();
    let (_groups, wakes) = attached_reader(&hub, "a");
    let _batch = NotifyBatch::begin();
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&hub, "a", "x"));
    });
    assert_eq!(wakes.count(), 1);
}
