//! A fan-out allocates nothing per subscriber, in a hub and in a publisher: the allocator counts, on this thread only.
//!
//! It is a binary of its own, because a program has one allocator.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one counts and hands on to the system's")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::ready,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use tidecast::{
    Batch, Channel, Error, Event, Feed, FeedOptions, Hub, Publication, Published, Publisher, Start, Subscription,
    broker::{Broker, BrokerFuture, Deliveries, History, Since},
    wire::FirstBlock,
};

struct Counting;

thread_local! {
    // Constant and without a destructor, so that reading it allocates nothing.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every method passes its arguments on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this call.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this call.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(act: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    act();
    ALLOCATIONS.get() - before
}

/// Subscribers of one hub, and the batch that they share as the connections of a reactor do.
struct Crowd {
    hub: Hub,
    subscriptions: Vec<Subscription>,
    batch: Batch,
}

impl Crowd {
    fn new(subscribers: usize, channels: &[&str]) -> Self {
        let hub = Hub::new();
        let subscriptions = (0..subscribers)
            .map(|_| {
                let mut subscription = hub.subscribe(channels.iter().copied(), Start::Live).expect("the hub is open");
                subscription.first_block(FirstBlock::default());
                subscription
            })
            .collect();
        let mut crowd = Self { hub, subscriptions, batch: Batch::new() };
        // Tables and segments grow to their lasting size.
        for _ in 0..100 {
            crowd.publish_and_drain();
        }
        crowd
    }

    fn publish_and_drain(&mut self) {
        self.hub.publish_now("a", Event::text("twelve bytes")).expect("the hub is open");
        let mut context = Context::from_waker(Waker::noop());
        let mut delivered = 0;
        for subscription in &mut self.subscriptions {
            while subscription.poll_batch(&mut context, &mut self.batch, 64 * 1024) == Poll::Ready(Some(())) {
                delivered += 1;
            }
        }
        assert_eq!(delivered, self.subscriptions.len());
    }
}

/// Returns the fewest and the most allocations of one publish with all its deliveries.
fn spread(crowd: &mut Crowd) -> (usize, usize) {
    let counts = (0..50).map(|_| allocations(|| crowd.publish_and_drain())).collect::<Vec<_>>();
    (*counts.iter().min().expect("some"), *counts.iter().max().expect("some"))
}

#[test]
fn on_one_channel_a_thousand_subscribers_allocate_as_much_as_ten() {
    let ten = spread(&mut Crowd::new(10, &["a"]));
    let thousand = spread(&mut Crowd::new(1_000, &["a"]));
    assert_eq!(ten.0, thousand.0);
    // Now and then a log adds a segment, and its table of entries may grow.
    for (fewest, most) in [ten, thousand] {
        assert!((1..=10).contains(&fewest), "{fewest}");
        assert!(most <= fewest + 4, "{fewest} to {most}");
    }
}

/// The ids of several channels are written into memory of the batch, which is reused once its parts are dropped.
#[test]
fn on_three_channels_too_if_the_batch_is_free_each_time() {
    let ten = spread(&mut Crowd::new(10, &["a", "b", "c"]));
    let thousand = spread(&mut Crowd::new(1_000, &["a", "b", "c"]));
    assert_eq!(ten.0, thousand.0);
    for (fewest, most) in [ten, thousand] {
        assert!((1..=10).contains(&fewest), "{fewest}");
        assert!(most <= fewest + 4, "{fewest} to {most}");
    }
}

/// Their logs keep the little memory that they have.
#[test]
fn a_publisher_gives_one_event_to_a_thousand_feeds_with_the_allocations_of_ten() {
    let [ten, thousand] = [10, 1_000].map(|subscribers| {
        let publisher = Publisher::new();
        let mut feeds: Vec<Feed> = (0..subscribers)
            .map(|_| publisher.subscribe(["a"], (), FeedOptions::default()).expect("a channel"))
            .collect();
        let (mut batch, mut context) = (Batch::new(), Context::from_waker(Waker::noop()));
        let mut publish_and_drain = || {
            let copies = publisher.publish_now(["a"], Event::text("twelve bytes")).expect("it is small");
            assert_eq!(copies, subscribers);
            for feed in &mut feeds {
                assert_eq!(feed.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Ready(Some(())));
            }
            batch.clear();
        };
        publish_and_drain();
        allocations(publish_and_drain)
    });
    assert_eq!(ten, thousand);
    assert!((1..=10).contains(&ten), "{ten}");
}

/// A broker that opens a channel when the test calls it.
#[derive(Debug, Default)]
struct LateBroker(OnceLock<Deliveries>);

impl LateBroker {
    fn open(&self, channel: &str) {
        self.0.get().expect("it was started").open(&Channel::new(channel).expect("a name"));
    }
}

impl Broker for LateBroker {
    fn start(&self, deliveries: Deliveries) {
        self.0.set(deliveries).expect("it is started once");
    }

    fn publish(&self, _: Publication) -> BrokerFuture<'_, Published> {
        Box::pin(ready(Err(Error::unavailable("nothing is published"))))
    }

    fn subscribe(&self, _: &Channel) {}

    fn release(&self, _: &Channel) {}

    fn history<'a>(&'a self, _: &'a Channel, _: Since, _: usize) -> BrokerFuture<'a, History> {
        Box::pin(ready(Err(Error::unavailable("nothing is read"))))
    }

    fn forget<'a>(&'a self, _: &'a Channel) -> BrokerFuture<'a, bool> {
        Box::pin(ready(Err(Error::unavailable("nothing is forgotten"))))
    }

    fn send_control<'a>(&'a self, _: &'a [u8]) -> BrokerFuture<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn close(&self) {}
}

/// If one channel of a stream can't be opened, each poll of the stream looked in every log for every position that the client
/// had sent, and allocated.
#[test]
fn a_poll_without_news_looks_nothing_up_for_a_channel_that_is_not_open() {
    let broker = Arc::new(LateBroker::default());
    let hub = Hub::builder().broker(broker.clone()).build();
    broker.open("a");
    let start = Start::After(b"00c0ffee1234.1,00c0ffee5678.1".to_vec());
    let mut subscription = hub.subscribe(["a", "b"], start).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    let (mut batch, mut context) = (Batch::new(), Context::from_waker(Waker::noop()));
    while subscription.poll_batch(&mut context, &mut batch, 64 * 1024).is_ready() {}
    let of_polls = allocations(|| {
        for _ in 0..10 {
            assert_eq!(subscription.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Pending);
        }
    });
    assert_eq!(of_polls, 0);
    // It still starts once it can.
    broker.open("b");
    assert_eq!(subscription.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Ready(Some(())));
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1_u64)))), 1);
    assert_eq!(allocations(|| ()), 0);
}
