//! History that is late or fails: only the channel concerned waits, and nothing is left behind.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tidecast::{Batch, Hub, Start, Subscription};

use crate::{
    far::{Answers, FarBroker, far_hub},
    support::{Browser, Woken, decode, numbers, publish, publish_numbers, ready_bytes, ready_next, told},
};

/// Creates a hub whose broker does not answer yet, and a subscription to two channels that needs the history of one.
fn waiting_subscription() -> (Hub, Arc<FarBroker>, Subscription) {
    let (hub, broker) = far_hub(2);
    broker.answer(Answers::Late);
    let subscription = hub.subscribe(["slow", "other"], Start::Live).expect("the hub is open");
    publish_numbers(&hub, "slow", 1..=9);
    (hub, broker, subscription)
}

fn told_now(subscription: &mut Subscription) -> Vec<String> {
    decode(&ready_bytes(subscription, 1000)).iter().map(told).collect()
}

#[test]
fn the_other_channels_continue_meanwhile() {
    let (hub, broker, mut subscription) = waiting_subscription();
    assert_eq!(told_now(&mut subscription), [""; 0]);
    publish(&hub, "other", "meanwhile");
    assert_eq!(told_now(&mut subscription), ["meanwhile"]);
    publish(&hub, "other", "once more");
    assert!(ready_next(&mut subscription).is_some());
    assert_eq!(broker.asked(), 1, "and it is asked only once");
    broker.answer(Answers::AtOnce);
    assert_eq!(told_now(&mut subscription), numbers("slow", 1..=9));
}

#[test]
fn the_answer_wakes_the_last_waker() {
    let (hub, broker, mut subscription) = waiting_subscription();
    let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut batch = Batch::new();
    let mut poll = |subscription: &mut Subscription, woken: &Arc<Woken>| {
        let waker = Waker::from(woken.clone());
        subscription.poll_batch(&mut Context::from_waker(&waker), &mut batch, 1000)
    };
    while poll(&mut subscription, &first).is_ready() {}
    // As if a connection moved to another task.
    assert!(poll(&mut subscription, &last).is_pending());
    assert_eq!(last.count(), 0);
    broker.answer(Answers::Late);
    assert_eq!(last.count(), 1, "it is woken by the future, not by the log");
    assert!(poll(&mut subscription, &last).is_pending());
    broker.answer(Answers::AtOnce);
    assert_eq!(last.count(), 2);
    assert_eq!(poll(&mut subscription, &last), Poll::Ready(Some(())));
    drop(hub);
}

#[test]
fn events_that_are_published_meanwhile_come_after_it() {
    let (hub, broker, mut subscription) = waiting_subscription();
    assert_eq!(told_now(&mut subscription), [""; 0]);
    publish_numbers(&hub, "slow", 10..=30);
    assert_eq!(told_now(&mut subscription), [""; 0]);
    broker.answer(Answers::AtOnce);
    assert_eq!(told_now(&mut subscription), numbers("slow", 1..=30));
}

/// The log may get the next events by another way, for example if its node fills a gap. Then no reader waits.
#[test]
fn an_answer_that_is_no_longer_needed_is_not_waited_for() {
    let (hub, broker) = far_hub(100);
    broker.answer(Answers::Late);
    let mut ahead = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "sse1");
    ahead.read();
    broker.lag();
    let position = publish(&hub, "sse", "sse2");
    ahead.last_event_id = position.to_string();
    ahead.connect();
    assert_eq!(ahead.told(), [""; 0]);
    assert_eq!(broker.waiting(), 1);
    publish(&hub, "sse", "sse3");
    broker.deliver_all("sse");
    assert_eq!(ahead.told(), ["sse3"]);
    assert_eq!(broker.waiting(), 0);
}

#[test]
fn closing_the_hub_ends_the_wait() {
    let (hub, broker, mut subscription) = waiting_subscription();
    publish(&hub, "other", "before");
    assert_eq!(told_now(&mut subscription), ["before"]);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut batch = Batch::new();
    let mut context = Context::from_waker(&waker);
    assert!(subscription.poll_batch(&mut context, &mut batch, 1000).is_pending());
    hub.close();
    assert!(woken.count() > 0);
    assert_eq!(subscription.poll_batch(&mut context, &mut batch, 1000), Poll::Ready(None));
    assert_eq!(ready_next(&mut subscription), None);
    assert_eq!(broker.waiting(), 0);
}

#[test]
fn a_dropped_subscription_cancels_its_request() {
    let (_hub, broker, mut subscription) = waiting_subscription();
    assert_eq!(told_now(&mut subscription), [""; 0]);
    assert_eq!(broker.waiting(), 1);
    drop(subscription);
    assert_eq!(broker.waiting(), 0);
}

#[test]
fn history_that_fails_is_a_reset_and_the_stream_continues() {
    let (hub, broker) = far_hub(2);
    broker.answer(Answers::Fails);
    let mut browser = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "sse1");
    publish_numbers(&hub, "sse", 2..=9);
    assert_eq!(browser.told(), ["sse too-slow", "sse8", "sse9"]);
    browser.connect_from(Start::After(first.to_string().into()));
    assert_eq!(browser.told(), ["sse expired", "sse8", "sse9"]);
    browser.connect_from(Start::Last(5));
    assert_eq!(browser.told(), ["sse8", "sse9"]);
    broker.answer(Answers::AtOnce);
    browser.connect_from(Start::After(first.to_string().into()));
    assert_eq!(browser.told(), numbers("sse", 2..=9));
}

/// The present page is read to its end, whatever has become of the rest since.
#[test]
fn history_that_fails_half_way_is_a_reset_there() {
    let (hub, broker) = far_hub(2);
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    publish_numbers(&hub, "sse", 1..=300);
    assert!(ready_next(&mut subscription).is_some());
    broker.answer(Answers::Fails);
    let told = told_now(&mut subscription);
    let expected = [numbers("sse", 2..=256), vec!["sse too-slow".to_owned()], numbers("sse", 299..=300)];
    assert_eq!(told, expected.concat());
}

/// A broker that returns the same page over and over is believed if the page has the next events, else asked no more.
#[test]
fn history_that_repeats_itself_is_not_delivered_twice() {
    let (hub, broker) = far_hub(2);
    broker.answer(Answers::FromTheStart);
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "sse1");
    assert_eq!(browser.told(), ["sse1"]);
    publish_numbers(&hub, "sse", 2..=9);
    assert_eq!(browser.told(), numbers("sse", 2..=9));
    publish_numbers(&hub, "sse", 10..=400);
    let told = browser.told();
    assert_eq!(told[..247], numbers("sse", 10..=256));
    assert_eq!(told[247..], ["sse too-slow", "sse399", "sse400"]);
}
