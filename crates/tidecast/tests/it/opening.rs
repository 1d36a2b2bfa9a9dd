//! A broker that is slow to tell where a channel stands: the subscription waits, nobody else does, and no event is missed.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use tidecast::{Event, Hub, Start, wire::FirstBlock};

use crate::{
    late::Late,
    support::{Browser, Woken, decode, default_with, name, now, ready_bytes, ready_next, told},
};

fn late_hub() -> (Hub, Arc<Late>) {
    let broker = Arc::new(Late::default());
    (Hub::builder().broker(broker.clone()).build(), broker)
}

fn publish(hub: &Hub, channel: &str, data: &str) {
    let mut future = pin!(hub.publish(channel, Event::text(data)));
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready());
}

/// A subscription that waited started where the log stood when it was next polled. Events since the opening, such as those
/// that the broker had held back, were skipped.
#[test]
fn the_id_is_the_first_delivery_and_no_event_is_missed() {
    let (hub, broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    assert_eq!(subscription.first_block(FirstBlock::default()), ": tidecast\nretry: 3000\n");
    assert_eq!(ready_bytes(&mut subscription, 1000), b"");
    publish(&hub, "sse", "held back");
    assert_eq!(ready_bytes(&mut subscription, 1000), b"");

    broker.open("sse");
    publish(&hub, "sse", "live");
    let bytes = String::from_utf8(ready_bytes(&mut subscription, 1000)).unwrap();
    let epoch = format!("{:?}", hub.channel(&name("sse")).unwrap().head.epoch);
    let expected = [
        format!("id: {epoch}.0\n\n"),
        format!("data: held back\nid: {epoch}.1\n\n"),
        format!("data: live\nid: {epoch}.2\n\n"),
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn a_publish_that_opens_the_channel_reaches_waiting_subscriptions() {
    let (hub, broker) = late_hub();
    let waiting = [Start::Live, Start::Last(0), Start::Last(1), Start::Last(9)];
    let mut waiting = waiting.map(|start| hub.subscribe(["sse"], start).unwrap());
    broker.stop_holding_back();
    publish(&hub, "sse", "one");
    publish(&hub, "sse", "two");
    for subscription in &mut waiting {
        let bytes = ready_bytes(subscription, 1000);
        assert_eq!(decode(&bytes).iter().map(told).collect::<Vec<_>>(), ["one", "two"]);
    }
}

#[test]
fn a_waiting_subscription_whose_log_starts_over_gets_a_reset() {
    let (hub, broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    broker.open("sse");
    publish(&hub, "sse", "lost");
    assert!(now(hub.forget(&name("sse"))).unwrap());
    publish(&hub, "sse", "kept");
    let bytes = ready_bytes(&mut subscription, 1000);
    assert_eq!(decode(&bytes).iter().map(told).collect::<Vec<_>>(), ["sse restarted", "kept"]);
}

#[test]
fn the_opening_event_comes_once_the_channel_is_open() {
    let (hub, broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    let block = default_with!(FirstBlock { open_event: true });
    assert_eq!(subscription.first_block(block), ": tidecast\nretry: 3000\n");
    broker.open("sse");
    let messages = decode(&ready_bytes(&mut subscription, 1000));
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["open"]);
    assert_eq!(messages[0].last_event_id, subscription.cursor().to_string());
}

#[test]
fn a_waiting_subscription_is_woken_once_the_channel_is_open() {
    let (hub, broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    subscription.first_block(FirstBlock::default());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut batch = tidecast::Batch::new();
    assert!(subscription.poll_batch(&mut Context::from_waker(&waker), &mut batch, 1000).is_pending());
    assert_eq!(woken.count(), 0);
    broker.open("sse");
    assert_eq!(woken.count(), 1);
    // Opening it again changes nothing.
    broker.open("sse");
    assert_eq!(woken.count(), 1);
    assert!(subscription.poll_batch(&mut Context::from_waker(&waker), &mut batch, 1000).is_ready());
}

/// It delayed the others, which were not read until it was open.
#[test]
fn a_channel_that_is_not_open_does_not_delay_the_others() {
    let (hub, broker) = late_hub();
    broker.open("a");
    let mut subscription = hub.subscribe(["a", "b"], Start::Live).unwrap();
    assert_eq!(subscription.first_block(FirstBlock::default()), ": tidecast\nretry: 3000\n");
    publish(&hub, "a", "meanwhile");
    let messages = decode(&ready_bytes(&mut subscription, 1000));
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["meanwhile"]);
    // Cut now, it is told that it may have missed events in the other channel, and continues in this one.
    let mut browser = Browser::new(&hub, &["a", "b"]);
    browser.last_event_id.clone_from(&messages[0].last_event_id);
    broker.open("b");
    publish(&hub, "a", "next");
    browser.connect();
    assert_eq!(browser.told(), ["b restarted", "next"]);

    let bytes = ready_bytes(&mut subscription, 1000);
    assert!(bytes.starts_with(b"id: "), "the id, now that it is known");
    assert_eq!(decode(&bytes).iter().map(told).collect::<Vec<_>>(), ["next"]);
    assert_eq!(subscription.cursor(), browser.last_event_id.parse().unwrap());
}

/// The client's position in a channel stays until that channel is open.
#[test]
fn a_channel_that_is_not_open_stays_at_the_clients_position() {
    let (hub, broker) = late_hub();
    broker.open("a");
    broker.open("b");
    let mut browser = Browser::connected(&hub, &["a", "b"]);
    browser.read();
    let before = browser.last_event_id.clone();
    publish(&hub, "b", "of b");
    broker.deliveries().suspend(&name("b"));
    publish(&hub, "a", "of a");
    for channels in [["a", "b"], ["b", "a"]] {
        let mut browser = Browser::new(&hub, &channels);
        browser.last_event_id.clone_from(&before);
        browser.connect();
        assert_eq!(browser.first_id(), Some(before.clone()));
        assert_eq!(browser.told(), ["of a"]);
        browser.connect();
        assert_eq!(browser.told(), [""; 0]);
        broker.open("b");
        assert_eq!(browser.told(), ["of b"], "{channels:?}");
        broker.deliveries().suspend(&name("b"));
    }
}

#[test]
fn a_reset_is_decided_once_the_channel_is_open() {
    let (hub, broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::After(b"00c0ffee1234.1".to_vec())).unwrap();
    // Without its id, a client that follows the standard to the letter would forget it here, and a client that is cut before
    // the channel opens would return without one.
    assert_eq!(subscription.first_block(FirstBlock::default()), ": tidecast\nretry: 3000\nid: 00c0ffee1234.1\n\n");
    assert_eq!(subscription.cursor().to_string(), "00c0ffee1234.1", "what it said itself is all that is known");
    broker.open("sse");
    let bytes = ready_bytes(&mut subscription, 1000);
    assert_eq!(decode(&bytes).iter().map(told).collect::<Vec<_>>(), ["sse restarted"]);
    assert!(!bytes.starts_with(b"id: 00c0"), "no id comes before the reset");
}

#[test]
fn a_program_waits_too() {
    let (hub, broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    assert_eq!(ready_next(&mut subscription), None);
    broker.open("sse");
    assert_eq!(ready_next(&mut subscription), None);
    publish(&hub, "sse", "x");
    assert!(ready_next(&mut subscription).is_some());
}

#[test]
fn closing_ends_a_waiting_subscription() {
    let (hub, _broker) = late_hub();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    subscription.first_block(FirstBlock::default());
    hub.close();
    assert_eq!(now(subscription.next()), None);
}

#[test]
fn a_broker_that_may_wait_needs_a_future() {
    let (hub, broker) = late_hub();
    broker.open("sse");
    assert!(hub.publish_now("sse", Event::text("x")).unwrap_err().is_unavailable());
    assert_eq!(hub.stats().failed, 1);
    assert_eq!(now(hub.publish("sse", Event::text("x"))).unwrap().position.offset, 1);
}

#[test]
fn the_broker_is_told_when_a_channel_has_had_no_reader_for_a_second() {
    let broker = Arc::new(Late::default());
    let clock = Arc::new(tidecast::clock::ManualClock::default());
    let hub = Hub::builder().broker(broker.clone()).clock(clock.clone()).build();
    let released = || broker.released();
    drop(hub.subscribe(["sse"], Start::Live).unwrap());
    hub.sweep();
    assert_eq!(released(), 0, "a page that is loaded again comes back in that time");
    clock.advance(crate::support::secs(1));
    hub.sweep();
    hub.sweep();
    assert_eq!(released(), 1);
    let _reader = hub.subscribe(["sse"], Start::Live).unwrap();
    clock.advance(crate::support::secs(2));
    hub.sweep();
    assert_eq!(released(), 1);
}
