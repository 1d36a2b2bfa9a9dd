//! What a subscriber of a publisher reads: initial events, then what is published.
//!
//! It needs no runtime: it wakes a [`Waker`](std::task::Waker), whose ever it is.

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

use super::feed_log::{FeedLog, Taken};
use crate::{
    Batch, Event, Frame,
    limits::{FEED_BYTES_DEFAULT, FEED_EVENTS_DEFAULT},
    wire::FirstBlock,
};

/// What a subscriber of a [`Publisher`](crate::Publisher) is given.
///
/// Read it as a [`Stream`] of [`Frame`], with [`next`](Self::next), or, to write to a socket, with
/// [`poll_batch`](Self::poll_batch). It ends when the publisher is closed or dropped, or by [`WhenFull::End`], each time
/// after everything that was published before. Dropping it leaves the channels.
pub struct Feed {
    initial: VecDeque<Frame>,
    log: Arc<FeedLog>,
    /// Weak, so that the publisher can go, which ends the feed.
    publisher: Weak<dyn Leave>,
    key: u64,
}

/// How a subscriber begins, and what becomes of what it does not read.
///
/// # Examples
///
/// ```
/// use tidecast::{Event, FeedOptions, WhenFull};
///
/// let options = FeedOptions {
///     initial: vec![Event::text("Welcome!")],
///     when_full: WhenFull::End,
///     ..FeedOptions::default()
/// };
/// assert_eq!(options.events_max, 1_000);
/// ```
#[derive(Debug, Clone)]
pub struct FeedOptions {
    /// What it is given before anything that is published. Default nothing.
    ///
    /// It does not count in what follows, and none of it is dropped. All together at most 8 MiB.
    pub initial: Vec<Event>,

    /// Most events that wait to be read. Default 1,000; 0 is taken as 1.
    pub events_max: usize,

    /// Most bytes of frames that wait to be read, also of those that others share. Default 1 MiB. A single event may be
    /// larger.
    pub bytes_max: usize,

    /// What happens at either. Default [`WhenFull::DropOldest`].
    pub when_full: WhenFull,
}

/// What happens where a subscriber has as much to read as it may, and there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// The oldest goes. In its place the subscriber is told how many it missed, by an event of type `stream-reset` with data
    /// `{"missed": 3, "reason": "too-slow"}`. The newest event never goes.
    #[default]
    DropOldest,

    /// Its feed ends after what it has to read. A browser then connects again, and gets its initial data anew.
    End,

    /// Who publishes waits until it has room, and meanwhile nobody else is given the event either: for a reader in the same
    /// program that must not miss any. Without a bound, but for that of the one who publishes.
    ///
    /// A publish that has several copies for it waits for the room of one.
    Wait,
}

/// What a feed has to tell its publisher, whatever is known there about each.
pub(super) trait Leave: Send + Sync {
    fn leave(&self, key: u64);

    fn room_was_made(&self);
}

impl Feed {
    pub(super) fn new(initial: VecDeque<Frame>, log: Arc<FeedLog>, publisher: Weak<dyn Leave>, key: u64) -> Self {
        Self { initial, log, publisher, key }
    }

    /// Waits for the next event; `None` once it has ended.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has taken nothing.
    pub async fn next(&mut self) -> Option<Frame> {
        poll_fn(|context| self.poll_one(context)).await
    }

    /// How many events wait to be read, with the initial ones.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.initial.len() + self.log.len()
    }

    /// How the stream begins on the wire, to be written at once. Without an id or an event `stream-open`, as there are no
    /// positions to tell.
    #[must_use]
    pub fn first_block(&self, block: FirstBlock) -> Bytes {
        block.encode(None)
    }

    /// Puts what is ready into a batch, as wire bytes: up to `bytes_max` bytes, and at least one frame. The last frame may
    /// go beyond.
    ///
    /// `Ready(true)`: there is something in the batch. `Ready(false)`: it has ended. Where it is `Pending`, the context's
    /// waker is woken once there is something.
    ///
    /// # Examples
    ///
    /// For who waits by other means than a task, such as a file descriptor that its waker writes to:
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
    /// assert_eq!(feed.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Ready(true));
    /// assert_eq!(batch.take_bytes(), "data: hello\n\n");
    /// assert_eq!(feed.poll_batch(&mut context, &mut batch, 64 * 1024), Poll::Ready(false));
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    pub fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch, bytes_max: usize) -> Poll<bool> {
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

    /// Gives what is ready to `give`, until it has enough. Tells whether there was something.
    fn poll_frames(&mut self, context: &mut Context<'_>, mut give: impl FnMut(Frame) -> bool) -> Poll<bool> {
        let mut given = false;
        while let Some(frame) = self.initial.pop_front() {
            given = true;
            if give(frame) {
                return Poll::Ready(true);
            }
        }
        if self.initial.capacity() > 0 {
            self.initial = VecDeque::new();
        }
        loop {
            let mut enough = false;
            let taken = self.log.take(|frame| {
                given = true;
                enough = give(frame);
                enough
            });
            match taken {
                Taken::Missed(events) => {
                    given = true;
                    if !give(Frame::missed(events)) {
                        continue;
                    }
                }
                Taken::Frames { awaited } => {
                    if awaited && let Some(publisher) = self.publisher.upgrade() {
                        publisher.room_was_made();
                    }
                }
                Taken::Ended if given => {}
                Taken::Ended => return Poll::Ready(false),
            }
            if given {
                return Poll::Ready(true);
            }
            if !self.log.has_rung(context.waker()) {
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
        let awaited = self.log.abandon();
        if let Some(publisher) = self.publisher.upgrade() {
            publisher.leave(self.key);
            if awaited {
                publisher.room_was_made();
            }
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("initial", &self.initial.len()).field("log", &self.log).finish_non_exhaustive()
    }
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            initial: Vec::new(),
            events_max: FEED_EVENTS_DEFAULT,
            bytes_max: FEED_BYTES_DEFAULT,
            when_full: WhenFull::default(),
        }
    }
}
