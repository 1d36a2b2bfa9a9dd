//! A subscription by itself: the content of a batch, its wakers, its end, and its counts.

use std::task::{Context, Poll, Waker};

use tidecast::{Batch, Delivery, Event, Hub, Start, wire::FirstBlock};

use crate::support::{Browser, decode, name, now, publish, ready_bytes, ready_next, told};

fn poll(subscription: &mut tidecast::Subscription, batch: &mut Batch, bytes_max: usize) -> Poll<Option<()>> {
    subscription.poll_batch(&mut Context::from_waker(Waker::noop()), batch, bytes_max)
}

/// Creates a subscription whose first block is written.
fn begun(hub: &Hub, channels: &[&str]) -> tidecast::Subscription {
    let mut subscription = hub.subscribe(channels.iter().copied(), Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    subscription
}

#[test]
fn a_backlog_on_one_channel_is_one_part_and_no_copy() {
    let hub = Hub::new();
    let (mut one, mut other) = (begun(&hub, &["sse"]), begun(&hub, &["sse"]));
    for number in 0..10 {
        publish(&hub, "sse", &number.to_string());
    }
    let (mut batch, mut other_batch) = (Batch::new(), Batch::new());
    assert_eq!(poll(&mut one, &mut batch, 64 * 1024), Poll::Ready(Some(())));
    assert_eq!(poll(&mut other, &mut other_batch, 64 * 1024), Poll::Ready(Some(())));
    assert_eq!(batch.parts().len(), 1);
    assert_eq!(batch.parts()[0].as_ptr(), other_batch.parts()[0].as_ptr());
    assert_eq!(decode(&batch.parts()[0]).len(), 10);
    assert_eq!(batch.slices().map(|slice| slice.len()).sum::<usize>(), batch.len());
    assert_eq!(batch.take_bytes(), other_batch.take_bytes());
    assert!(batch.is_empty());
}

#[test]
fn a_batch_of_several_parts_is_taken_as_one() {
    let hub = Hub::new();
    let mut subscription = begun(&hub, &["a", "b"]);
    publish(&hub, "a", "one");
    publish(&hub, "b", "two");
    let mut batch = Batch::new();
    assert_eq!(poll(&mut subscription, &mut batch, 64 * 1024), Poll::Ready(Some(())));
    assert!(batch.parts().len() > 1);
    let len = batch.len();
    let bytes = batch.take_bytes();
    assert_eq!(bytes.len(), len);
    assert_eq!(decode(&bytes).iter().map(told).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(batch.take_bytes(), "");
}

#[test]
fn a_batch_ends_with_the_frame_that_reaches_its_size() {
    let hub = Hub::new();
    let mut subscription = begun(&hub, &["sse"]);
    for number in 0..1_000 {
        publish(&hub, "sse", &"x".repeat(number % 100));
    }
    publish(&hub, "sse", &"x".repeat(100_000));
    let (mut batch, mut events) = (Batch::new(), 0);
    while poll(&mut subscription, &mut batch, 500) == Poll::Ready(Some(())) {
        let bytes = batch.take_bytes();
        let messages = decode(&bytes);
        let last = messages.last().expect("a batch has something");
        let last_len = format!("data: {}\nid: {}\n\n", last.data, last.last_event_id).len();
        assert!(bytes.len() - last_len < 500, "only the last may go beyond");
        events += messages.len();
    }
    assert_eq!(events, 1_001);
}

/// Asked for no bytes, a subscription never looked at its logs, and waited for ever although there were events.
#[test]
fn a_batch_of_no_bytes_holds_one_frame() {
    let hub = Hub::new();
    let mut subscription = begun(&hub, &["sse"]);
    publish(&hub, "sse", "one");
    publish(&hub, "sse", "two");
    let mut batch = Batch::new();
    for expected in ["one", "two"] {
        assert_eq!(poll(&mut subscription, &mut batch, 0), Poll::Ready(Some(())));
        assert_eq!(decode(&batch.take_bytes()).iter().map(told).collect::<Vec<_>>(), [expected]);
    }
    assert_eq!(poll(&mut subscription, &mut batch, 0), Poll::Pending);
}

/// The bytes of a frame counted towards the limit, but not those of the id before it. On 64 channels an id is over a
/// kilobyte, so small events made a batch of several megabytes.
#[test]
fn ids_of_many_channels_count_against_the_size_of_a_batch() {
    let hub = Hub::new();
    let channels: Vec<_> = (0..64).map(|number| number.to_string()).collect();
    let mut subscription = hub.subscribe(&channels, Start::Live).unwrap();
    subscription.first_block(FirstBlock::default());
    for _ in 0..3_000 {
        publish(&hub, "7", "");
    }
    let (mut batch, mut events) = (Batch::new(), 0);
    while poll(&mut subscription, &mut batch, 64 * 1024) == Poll::Ready(Some(())) {
        assert!(batch.len() < 2 * 64 * 1024, "{}", batch.len());
        events += decode(&batch.take_bytes()).len();
    }
    assert_eq!(events, 3_000);
}

#[test]
fn a_busy_channel_delays_the_others_by_at_most_1_batch() {
    let hub = Hub::new();
    let mut subscription = begun(&hub, &["busy", "quiet"]);
    for _ in 0..1_000 {
        publish(&hub, "busy", &"x".repeat(100));
    }
    publish(&hub, "quiet", "me too");
    let mut batch = Batch::new();
    let mut messages = Vec::new();
    for _ in 0..2 {
        assert_eq!(poll(&mut subscription, &mut batch, 1_000), Poll::Ready(Some(())));
        messages.extend(decode(&batch.take_bytes()).iter().map(told));
    }
    assert!(messages.contains(&"me too".to_owned()));
}

#[test]
fn closing_delivers_every_event_that_was_published_before() {
    let hub = Hub::new();
    let (mut by_wire, mut by_stream) = (begun(&hub, &["a", "b"]), begun(&hub, &["a"]));
    for number in 0..1_000 {
        publish(&hub, "a", &number.to_string());
    }
    publish(&hub, "b", "last");
    hub.close();
    hub.close();
    assert_eq!(decode(&ready_bytes(&mut by_wire, 1_000)).len(), 1_001);
    assert_eq!(poll(&mut by_wire, &mut Batch::new(), 1_000), Poll::Ready(None));
    for _ in 0..1_000 {
        assert!(now(by_stream.next()).is_some());
    }
    assert_eq!(now(by_stream.next()), None);
    assert_eq!(now(by_stream.next()), None, "it stays ended");
    assert!(hub.is_closed());
    assert!(hub.publish_now("a", Event::text("x")).unwrap_err().is_closed());
    assert!(hub.subscribe(["a"], Start::Live).unwrap_err().is_closed());
    assert!(now(hub.ready()).unwrap_err().is_closed());
}

#[test]
fn a_dropped_future_has_taken_nothing() {
    let hub = Hub::new();
    let mut subscription = begun(&hub, &["sse"]);
    assert_eq!(ready_next(&mut subscription), None);
    publish(&hub, "sse", "x");
    drop(subscription.next());
    let Some(Delivery::Event(delivered)) = ready_next(&mut subscription) else { panic!("an event") };
    assert_eq!(delivered.channel, "sse");
}

#[test]
fn a_sweeper_is_claimed_once_and_does_not_keep_the_hub() {
    let hub = Hub::new();
    let sweeper = hub.sweeper().expect("nobody has it");
    assert!(hub.sweeper().is_none());
    assert!(sweeper.sweep());
    drop(sweeper);
    let sweeper = hub.sweeper().expect("it was given back");
    hub.close();
    assert!(!sweeper.sweep());
    drop(hub);
    assert!(!sweeper.sweep());
}

#[test]
fn a_closed_hub_is_dropped_with_its_last_handle() {
    let hub = Hub::new();
    let sweeper = hub.sweeper().unwrap();
    let subscription = begun(&hub, &["sse"]);
    drop(hub);
    assert!(sweeper.sweep(), "a subscription keeps it");
    drop(subscription);
    assert!(!sweeper.sweep());
}

#[test]
fn publishes_deliveries_and_subscriptions_are_counted() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["a", "b"]);
    let _other = begun(&hub, &["a"]);
    assert_eq!(hub.publish_now("a", Event::text("x")).unwrap().receivers, 2);
    publish(&hub, "b", "y");
    browser.read();
    let stats = hub.stats();
    assert_eq!((stats.published, stats.delivered), (2, 2));
    assert_eq!((stats.subscribed, stats.subscriptions, stats.channel_readers), (2, 2, 3));
    assert_eq!((stats.channels, stats.log_events), (2, 2));
    let bytes: usize = ["a", "b"].iter().map(|channel| hub.channel(&name(channel)).unwrap().bytes).sum();
    assert_eq!(stats.delivered_bytes, bytes as u64);
    browser.cut();
    assert_eq!((hub.stats().subscribed, hub.stats().subscriptions, hub.stats().channel_readers), (2, 1, 1));
    assert_eq!(hub.channel(&name("a")).unwrap().subscribers, 1);
}
