//! A cursor in each of several channels, and the waker of one reader.
//!
//! A subscription owns no event: it reads the logs, which all subscribers share. It needs no runtime, because it wakes any
//! [`Waker`](std::task::Waker).

mod backfill;
mod batch;
mod channel_cursor;
mod delivery;
mod output;
mod start;

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use smallvec::SmallVec;

pub(crate) use self::channel_cursor::ChannelCursor;
pub use self::{
    batch::Batch,
    delivery::{Delivered, Delivery},
    start::Start,
};
use self::{channel_cursor::Progress, start::RequestedCursor};
use crate::{
    Channel, Cursor, Frame, Hub, Reset, ResetReason,
    channel_log::ChannelLog,
    hub::HubState,
    log::LogCursor,
    notify::{GroupWaker, ReadySet},
    wire::{FirstBlock, frame::FrameBounds},
};

/// A subscription to 1 to 64 channels.
///
/// Read it as a [`Stream`] of [`Delivery`], with [`next`](Self::next), or, to write to a socket, with
/// [`poll_batch`](Self::poll_batch). It ends when the hub is closed, after all events that were published before. Dropping
/// it leaves the channels.
///
/// No order is promised between channels. A channel with much to read delays the others by at most 1 batch.
///
/// # Examples
///
/// ```
/// use tidecast::{Delivery, Event, Hub, Start};
///
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) else { panic!("ready") };
/// #     done
/// # }
/// # block_on(async {
/// let hub = Hub::new();
/// let mut subscription = hub.subscribe(["sse"], Start::Live)?;
/// hub.publish("sse", Event::text("hello")).await?;
///
/// let Some(Delivery::Event(delivered)) = subscription.next().await else { panic!("an event") };
/// assert_eq!(delivered.frame.message().data, "hello");
///
/// // The subscriber was away for a while, and resumes where it left off.
/// drop(subscription);
/// hub.publish("sse", Event::text("missed?")).await?;
/// let after = Start::After(delivered.cursor.to_string().into());
/// let mut subscription = hub.subscribe(["sse"], after)?;
/// let Some(Delivery::Event(delivered)) = subscription.next().await else { panic!("an event") };
/// assert_eq!(delivered.frame.message().data, "missed?");
/// # Ok::<(), tidecast::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<HubState>,
    ready_set: Arc<ReadySet>,
    cursors: Box<[ChannelCursor]>,
    /// A bit for each channel that may have something to read.
    ready: u64,
    /// A bit for each channel that waits for the broker's answer.
    awaits_broker: u64,
    /// The positions that the client sent, until every cursor has started.
    requested: Option<Box<RequestedCursor>>,
    /// The index of the channel to read first, so that each gets its turn.
    next_channel: u32,
    /// Whether every cursor has started, so that the subscription's cursor is known.
    has_started: bool,
    /// Whether the id of the first block has been told, or will not be.
    has_told_id: bool,
    first_block: FirstBlock,
}

/// The next step of a subscription.
enum Step {
    /// The id of the first block is known.
    Id,
    Reset(Reset),
    /// Frames of the channel with this index that lie side by side.
    Frames(usize, Bytes),
    Nothing,
}

impl Subscription {
    /// Creates a subscription of 1 to 64 cursors, which have joined their logs.
    pub(crate) fn new(
        hub: Arc<HubState>,
        cursors: Vec<ChannelCursor>,
        requested: Option<Box<RequestedCursor>>,
        ready_set: Arc<ReadySet>,
    ) -> Self {
        let mut subscription = Self {
            hub,
            ready_set,
            ready: u64::MAX >> (64 - cursors.len()),
            awaits_broker: 0,
            cursors: cursors.into(),
            requested,
            next_channel: 0,
            has_started: false,
            has_told_id: false,
            first_block: FirstBlock::default(),
        };
        subscription.try_start();
        subscription
    }

    /// Returns the hub of the subscription.
    #[must_use]
    pub fn hub(&self) -> Hub {
        Hub::from_state(self.hub.clone())
    }

    /// Returns the channels, in the order in which they were named, without repetitions.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.cursors.iter().map(|cursor| cursor.log.channel())
    }

    /// Returns the subscription's cursor: what a client would send to resume.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursors.iter().map(ChannelCursor::told).collect()
    }

    /// Waits for the next delivery. Returns `None` once the hub is closed and every event before that is read.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|context| self.poll_delivery(context)).await
    }

    /// Creates the subscription of a reader that leaves its group.
    pub(crate) fn from_group(
        hub: Arc<HubState>,
        log: Arc<ChannelLog>,
        cursor: LogCursor,
        waker: &Arc<dyn GroupWaker>,
        key: u32,
    ) -> Self {
        let ready_set = Arc::new(ReadySet::default());
        log.detach(&ready_set, waker, key);
        Self {
            hub,
            ready_set,
            cursors: [ChannelCursor::from_log_cursor(log, cursor)].into(),
            // The group may have been woken for events that the reader has not read.
            ready: 1,
            awaits_broker: 0,
            requested: None,
            next_channel: 0,
            has_started: true,
            has_told_id: true,
            first_block: FirstBlock::default(),
        }
    }

    /// Returns the log and the place in it, if the subscription consists of nothing else.
    pub(crate) fn log_cursor(&self) -> Option<(&Arc<ChannelLog>, LogCursor)> {
        let [only] = &*self.cursors else { return None };
        let cursor = only.log_cursor().filter(|_| self.has_told_id)?;
        Some((&only.log, cursor))
    }

    pub(crate) fn hub_state(&self) -> &Arc<HubState> {
        &self.hub
    }

    /// Moves the reader into a group. The channel keeps its reader.
    pub(crate) fn attach(mut self, waker: &Arc<dyn GroupWaker>, key: u32) {
        for cursor in mem::take(&mut self.cursors) {
            cursor.log.attach(&self.ready_set, waker, key);
        }
    }

    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.ready |= self.awaits_broker;
        loop {
            let mut frames = SmallVec::<[FrameBounds; 1]>::new();
            match self.step(context, usize::MAX, 1, &mut frames) {
                // Only the wire has a first block.
                Step::Id => {}
                Step::Reset(reset) => return Poll::Ready(Some(Delivery::Reset(reset))),
                Step::Frames(index, bytes) => {
                    let Some(bounds) = frames.first() else { continue };
                    let cursor = &mut self.cursors[index];
                    cursor.position = bounds.position;
                    let channel = cursor.log.channel().clone();
                    let frame = Frame::new(bytes, bounds);
                    let (position, cursor) = (bounds.position, self.cursor());
                    return Poll::Ready(Some(Delivery::Event(Delivered { channel, frame, position, cursor })));
                }
                Step::Nothing => match self.wait(context) {
                    Wait::Ready => {}
                    Wait::Closed => return Poll::Ready(None),
                    Wait::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Decides what comes next, and is the only place that does: the id of the first block, then resets in the order of the
    /// channels, then frames, a channel at a time. Adds the bounds of the frames to `frames`.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
        frames_max: usize,
        frames: &mut impl Extend<FrameBounds>,
    ) -> Step {
        // A channel that can't be opened yet does not delay the others.
        let has_started = self.try_start();
        let due = self.cursors.iter().position(ChannelCursor::is_reset_due);
        if has_started && !mem::replace(&mut self.has_told_id, true) && due.is_none() {
            return Step::Id;
        }
        if let Some(due) = due {
            self.ready |= 1 << due;
            self.next_channel = due as u32;
        }
        while self.ready != 0 {
            // The first bit at or after the next channel, else the first of all.
            let from_next = self.ready >> self.next_channel << self.next_channel;
            let number = if from_next == 0 { self.ready } else { from_next }.trailing_zeros();
            self.next_channel = (number + 1) % self.cursors.len() as u32;
            let index = number as usize;
            self.awaits_broker &= !(1 << number);
            match self.cursors[index].step(&self.hub, context, bytes_max, frames_max, frames) {
                Progress::Frames(bytes) => return Step::Frames(index, bytes),
                Progress::Reset(reason) => return Step::Reset(self.reset(index, reason)),
                Progress::CaughtUp => self.ready &= !(1 << number),
                Progress::AwaitsBroker => {
                    self.ready &= !(1 << number);
                    self.awaits_broker |= 1 << number;
                }
            }
        }
        Step::Nothing
    }

    /// Finds where each cursor starts, once its log is live. Returns whether all have started.
    ///
    /// A log that becomes live notifies its readers, so nothing is looked up for channels without news.
    fn try_start(&mut self) -> bool {
        let has_news =
            |(number, cursor): (usize, &ChannelCursor)| !cursor.has_started() && self.ready & (1 << number) != 0;
        if self.has_started || !self.cursors.iter().enumerate().any(has_news) {
            return self.has_started;
        }
        if let Some(requested) = &self.requested {
            let starts = {
                let logs: SmallVec<[&ChannelLog; 4]> = self.cursors.iter().map(|cursor| &*cursor.log).collect();
                requested.starts(&logs, |position| self.hub.has_epoch(position.epoch))
            };
            for (cursor, start) in self.cursors.iter_mut().zip(starts) {
                cursor.set_start(start);
            }
        }
        self.has_started = true;
        for (number, cursor) in self.cursors.iter_mut().enumerate() {
            let waited = !cursor.has_started();
            if !cursor.try_start(&self.hub) {
                self.has_started = false;
            } else if waited {
                self.ready |= 1 << number;
            }
        }
        if self.has_started {
            self.requested = None;
        }
        self.has_started
    }

    /// Creates the reset that a channel's cursor has just taken for told, and counts it.
    fn reset(&mut self, index: usize, reason: ResetReason) -> Reset {
        self.hub.count_reset(reason);
        let cursor = &self.cursors[index];
        let (channel, resumed_at) = (cursor.log.channel().clone(), cursor.position);
        Reset { channel, reason, resumed_at, cursor: self.cursor() }
    }

    fn wait(&mut self, context: &Context<'_>) -> Wait {
        // Checked before the ready set: the hub notifies its readers of the last events before it says that it is closed.
        // In the other order, an event and the closing that come between the two checks would end the subscription before
        // the event.
        let is_closed = self.hub.is_closed();
        let ready = self.ready_set.register_and_take(context.waker());
        self.ready |= ready;
        if ready != 0 {
            Wait::Ready
        } else if is_closed && self.awaits_broker == 0 {
            Wait::Closed
        } else {
            Wait::Pending
        }
    }
}

enum Wait {
    Ready,
    Closed,
    Pending,
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.get_mut().poll_delivery(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Without cursors the reader is in a group, and has not left.
        if self.cursors.is_empty() {
            return;
        }
        for (cursor, index) in self.cursors.iter().zip(0..) {
            cursor.log.leave(&self.ready_set, index, self.hub.now());
        }
        self.hub.count_left();
    }
}
