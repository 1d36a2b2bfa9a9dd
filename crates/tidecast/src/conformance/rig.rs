//! The tools of the rules: a broker with a hub, unused channels, and two futures at once.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    Batch, Channel, Delivered, Delivery, Epoch, Event, Hub, IdempotencyKey, Publication, Published, Start,
    Subscription, broker::Broker, clock::ManualClock, wire::FirstBlock,
};

/// A broker with its hub, whose clock stands still.
pub(super) struct Rig {
    pub(super) hub: Hub,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) clock: Arc<ManualClock>,
}

impl Rig {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self { hub: Hub::builder().broker(broker.clone()).clock(clock.clone()).build(), broker, clock }
    }

    /// Subscribes and waits until the subscription knows its position.
    pub(super) async fn subscribe(&self, channel: &Channel) -> Subscription {
        let mut subscription = self.hub.subscribe([channel.clone()], Start::Live).expect("the hub is open");
        // If the broker has not told the position yet, the first batch has room for the id only.
        if !subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:") {
            let mut batch = Batch::new();
            poll_fn(|context| subscription.poll_batch(context, &mut batch, 1)).await.expect("the hub is open");
            assert!(batch.take_bytes().starts_with(b"id: "), "a block with the id");
        }
        subscription
    }

    pub(super) async fn publish(&self, channel: &Channel, data: &str) -> Published {
        let publication = publication(channel, data, None);
        self.hub.publish_publication(publication).await.expect("it is published")
    }

    pub(super) async fn publish_once(&self, channel: &Channel, data: &str, key: &str) -> Published {
        let publication = publication(channel, data, Some(key));
        self.hub.publish_publication(publication).await.expect("it is published")
    }
}

/// Polls until a condition holds, on any runtime.
pub(super) async fn until(condition: impl Fn() -> bool) {
    poll_fn(|context| {
        if condition() {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) fn publication(channel: &Channel, data: &str, key: Option<&str>) -> Publication {
    let idempotency_key = key.map(|key| IdempotencyKey::new(key).expect("a key"));
    Publication { channel: channel.clone(), event: Event::text(data), idempotency_key }
}

/// Returns a channel that was never used, even on a shared server.
pub(super) fn unused_channel() -> Channel {
    Channel::new(&format!("conformance {:?}", Epoch::random())).expect("a name")
}

pub(super) async fn next_event(subscription: &mut Subscription) -> Delivered {
    match subscription.next().await {
        Some(Delivery::Event(delivered)) => delivered,
        other => panic!("an event, not {other:?}"),
    }
}

/// Awaits two futures at once, on any runtime.
pub(super) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(|context| {
        poll_into(a.as_mut(), context, &mut a_done);
        poll_into(b.as_mut(), context, &mut b_done);
        if a_done.is_some() && b_done.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (a_done.expect("it is ready"), b_done.expect("it is ready"))
}

pub(super) fn poll_into<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>, done: &mut Option<F::Output>) {
    if done.is_none()
        && let Poll::Ready(output) = future.poll(context)
    {
        *done = Some(output);
    }
}
