//! The feed of a publisher's subscriber: its initial events, then the published ones.
//!
//! A feed needs no runtime, because it wakes any [`Waker`](std::task::Waker).

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;

use super::feed_log::{FeedLog, FeedRead};
use crate::{Batch, Frame, wire::FirstBlock};

/// The events of one subscriber of a [`Publisher`](crate::Publisher).
///
/// Read it as a [`Stream`] of [`Frame`], with [`next`](Self::next), or, to write to a socket, with
/// [`poll_batch`](Self::poll_batch). It ends when the publisher is closed or dropped, or by
/// [`WhenFull::End`](crate::WhenFull::End), always after the events that were published before. Dropping it leaves the
/// channels.
pub struct Feed {
    initial: VecDeque<Frame>,
    log: Arc<FeedLog>,
    /// Weak, so that the publisher can be dropped, which ends the feed.
    publisher: Weak<dyn FeedOwner>,
    key: u64,
}

/// A feed's publisher, whatever the properties of its subscribers are.
pub(super) trait FeedOwner: Send + Sync {
    /// Removes the subscriber.
    fn leave(&self, key: u64);

    /// Wakes the publishes that wait for room.
    fn notify_room(&self);
}

impl Feed {
    pub(super) fn new(initial: VecDeque<Frame>, log: Arc<FeedLog>, publisher: Weak<dyn FeedOwner>, key: u64) -> Self {
        Self { initial, log, publisher, key }
    }

    /// Waits for the next event. Returns `None` once the feed has ended.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken nothing.
    pub async fn next(&mut self) -> Option<Frame> {
        poll_fn(|context| self.poll_one(context)).await
    }

    /// Returns the number of unread events, with the initial ones.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.initial.len() + self.log.len()
    }

    /// Returns the beginning of the stream on the wire, to be written at once. It has no id and no event `stream-open`,
    /// because a publisher has no positions.
    #[must_use]
    pub fn first_block(&self, block: FirstBlock) -> Bytes {
        block.encode(None)
    }

    /// Puts everything that is ready into a batch, as wire bytes: up to `bytes_max` bytes, and at least one frame. The last
    /// frame may exceed that.
    ///
    /// Returns `Ready(Some(()))` if the batch has bytes, and `Ready(None)` if the feed has ended. If it returns `Pending`,
    /// the context's waker is woken once there is something.
    ///
    /// # Examples
    ///
    /// A program that waits by other means than a task, such as a file descriptor that its waker writes to:
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use tidecast::{Batch, Event, FeedOptions, Publisher};
    ///
    /// let publisher = Publisher::new();
    /// let mut feed = publisher.subscribe(["chat"], (), FeedOptions::default())?;
    /// let (mut batch, mut context) = (Batch::new(), Context::from_waker(Waker::noop()));
    /// assert_eq!(feed.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Pending);
    ///
    /// publisher.publish_now(["chat"], Event::text("hello"))?;
    /// publisher.close();
    /// assert_eq!(feed.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Ready(Some(())));
    /// assert_eq!(batch.take_bytes(), "data: hello\n\n");
    /// assert_eq!(feed.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Ready(None));
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    pub fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch, bytes_max: usize) -> Poll<Option<()>> {
        batch.clear();
        self.poll_frames(context, |frame| {
            batch.push(frame.into_bytes());
            batch.len() >= bytes_max
        })
    }

    fn poll_one(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut next = None;
        let polled = self.poll_frames(context, |frame| {
            next = Some(frame);
            true
        });
        polled.map(|_| next)
    }

    /// Passes everything that is ready to `take`, until it returns that it has enough. Returns whether there was anything.
    fn poll_frames(&mut self, context: &mut Context<'_>, mut take: impl FnMut(Frame) -> bool) -> Poll<Option<()>> {
        let mut has_taken = false;
        while let Some(frame) = self.initial.pop_front() {
            has_taken = true;
            if take(frame) {
                return Poll::Ready(Some(()));
            }
        }
        if self.initial.capacity() > 0 {
            self.initial = VecDeque::new();
        }
        loop {
            let read = self.log.read(|frame| {
                has_taken = true;
                take(frame)
            });
            match read {
                FeedRead::Missed(events) => {
                    has_taken = true;
                    if !take(Frame::missed(events)) {
                        continue;
                    }
                }
                FeedRead::Frames { is_awaited } => {
                    if is_awaited && let Some(publisher) = self.publisher.upgrade() {
                        publisher.notify_room();
                    }
                }
                FeedRead::Ended if has_taken => {}
                FeedRead::Ended => return Poll::Ready(None),
            }
            if has_taken {
                return Poll::Ready(Some(()));
            }
            if !self.log.register_and_take(context.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl Stream for Feed {
    type Item = Frame;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.get_mut().poll_one(context)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let is_awaited = self.log.abandon();
        if let Some(publisher) = self.publisher.upgrade() {
            publisher.leave(self.key);
            if is_awaited {
                publisher.notify_room();
            }
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("initial", &self.initial.len()).field("log", &self.log).finish_non_exhaustive()
    }
}
