//! Appending one publish to the feeds of all its recipients at once, one publish after another.
//!
//! Under the order lock, frames are appended by reference and nothing else is done: they are encoded before it, and readers
//! are woken after it. So every subscriber gets the events of several threads in the same order.

use std::{collections::HashMap, future::poll_fn, mem, ops::ControlFlow, task::Poll, task::Waker};

use super::{
    feed_batch::FeedBatch,
    feed_log::{AppendToFeed, Room},
};
use crate::sync::Mutex;

#[derive(Default)]
pub(super) struct FanOut {
    order: Mutex<()>,
    waiting: Mutex<WaitingPublishes>,
}

/// The publishes that wait for room: at most as many as the program has in progress.
#[derive(Default)]
struct WaitingPublishes {
    wakers: HashMap<u64, Waker>,
    last_key: u64,
}

/// The result of one publish.
#[derive(Debug, Default)]
pub(super) struct FanOutReport {
    pub(super) copies: usize,
    /// The keys of the subscribers whose feed ended because of it.
    pub(super) ended: Vec<u64>,
}

impl FanOut {
    /// Appends every copy, or none and returns `None` if a subscriber must be waited for.
    pub(super) fn publish_now<P>(&self, batch: &FeedBatch<P>) -> Option<FanOutReport> {
        let mut report = FanOutReport::default();
        {
            let _order = self.order.lock();
            // No other publish can take the room that is found, and readers only make more.
            let full = batch.try_each(|subscriber, frame| match subscriber.log.room_for(frame) {
                Room::Available => ControlFlow::Continue(()),
                Room::Awaited => ControlFlow::Break(()),
            });
            if full.is_break() {
                return None;
            }
            batch.each(|subscriber, frame| match subscriber.log.append(frame) {
                AppendToFeed::Appended => report.copies += 1,
                AppendToFeed::Ended => {}
                AppendToFeed::Overflowed => report.ended.push(subscriber.key),
            });
        }
        batch.each(|subscriber, _| subscriber.log.notify());
        Some(report)
    }

    /// Appends every copy, once all subscribers have room.
    pub(super) async fn publish<P>(&self, batch: &FeedBatch<P>) -> FanOutReport {
        if let Some(report) = self.publish_now(batch) {
            return report;
        }
        let waiting = WaitingPublish { fan_out: self, key: self.waiting.lock().next_key() };
        poll_fn(|context| {
            waiting.register(context.waker());
            // Tried after the waker is registered: room that was made before found no publish to wake.
            self.publish_now(batch).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Wakes the waiting publishes, because a subscriber has read or left.
    pub(super) fn notify_room(&self) {
        let wakers = mem::take(&mut self.waiting.lock().wakers);
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

impl WaitingPublishes {
    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }
}

/// A publish that waits for room. Dropping it removes its waker.
struct WaitingPublish<'a> {
    fan_out: &'a FanOut,
    key: u64,
}

impl WaitingPublish<'_> {
    fn register(&self, waker: &Waker) {
        let before = self.fan_out.waiting.lock().wakers.insert(self.key, waker.clone());
        // A waker is foreign code, and is dropped without the lock.
        drop(before);
    }
}

impl Drop for WaitingPublish<'_> {
    fn drop(&mut self) {
        let waker = self.fan_out.waiting.lock().wakers.remove(&self.key);
        drop(waker);
    }
}
