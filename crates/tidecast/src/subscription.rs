//! A cursor per channel over the logs, and somebody to wake.
//!
//! It owns no event: what it reads is in the logs, shared with everybody else. It needs no runtime: it wakes a
//! [`Waker`](std::task::Waker), whose ever it is.

mod backfill;
mod batch;
mod channel_cursor;
mod delivery;
mod start;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use smallvec::SmallVec;

pub use self::{
    batch::Batch,
    delivery::{Delivered, Delivery, Reset, ResetReason},
    start::Start,
};
pub(crate) use self::{channel_cursor::Lane, start::LaneStart};
use self::{channel_cursor::Progress, start::Asked};
use crate::{
    Channel, Cursor, EventId, Frame, Hub,
    channel_log::ChannelLog,
    hub::Inner,
    log::FrameBounds,
    notify::Bell,
    position::{POSITION_BYTES_MIN, put_cursor},
    reader_group::{GroupWaker, LogCursor},
    wire::{self, FirstBlock},
};

/// A subscription to 1 to 64 channels.
///
/// Read it as a [`Stream`] of [`Delivery`], with [`next`](Self::next), or, to write to a socket, with
/// [`poll_batch`](Self::poll_batch). It ends when the hub is closed, after everything that was published before.
/// Dropping it leaves the channels.
///
/// Between channels no order is promised. A channel with a lot to read does not keep the others waiting for longer than
/// one batch.
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
/// // Gone for a while, and back where it left off.
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
    hub: Arc<Inner>,
    bell: Arc<Bell>,
    lanes: Box<[Lane]>,
    /// A bit for each lane that may have something to read.
    ready: u64,
    /// A bit for each lane that waits for the broker's answer.
    asking: u64,
    /// The positions that the client said, until every lane has begun.
    asked: Option<Box<Asked>>,
    /// The lane to look at first, so that each has its turn.
    turn: u32,
    /// Whether every lane has begun, so that the cursor is known.
    begun: bool,
    /// Whether the first block's id has been told, or will not be.
    opened: bool,
    first_block: FirstBlock,
}

/// What comes next.
enum Step {
    Opened,
    Reset(Reset),
    /// Frames of a lane that lie side by side.
    Frames(usize, Bytes),
    Nothing,
}

impl Subscription {
    /// A subscription of 1 to 64 lanes, which have joined their logs.
    pub(crate) fn new(hub: Arc<Inner>, lanes: Vec<Lane>, asked: Option<Box<Asked>>, bell: Arc<Bell>) -> Self {
        let mut subscription = Self {
            hub,
            bell,
            ready: u64::MAX >> (64 - lanes.len()),
            asking: 0,
            lanes: lanes.into(),
            asked,
            turn: 0,
            begun: false,
            opened: false,
            first_block: FirstBlock::default(),
        };
        subscription.begin();
        subscription
    }

    /// The hub that it is of.
    #[must_use]
    pub fn hub(&self) -> Hub {
        Hub::from_inner(self.hub.clone())
    }

    /// The channels, in the order in which they were asked for, without repetitions.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.lanes.iter().map(|lane| lane.log.channel())
    }

    /// Where the subscription stands: what a client would send to resume.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.lanes.iter().map(Lane::told).collect()
    }

    /// Waits for the next delivery; `None` once the hub is closed and everything before is read.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has taken nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|context| self.poll_delivery(context)).await
    }

    /// How the stream begins on the wire, to be written at once.
    ///
    /// It has the id with which a client that is cut before its first event resumes. Where a reset is due that id is of
    /// where the client was, or of nowhere, so that the reset is not lost with the connection: it is told when the client
    /// comes back. While the broker is away the id comes later, as the first of what [`poll_batch`](Self::poll_batch)
    /// gives; what a client asked for is given back meanwhile.
    pub fn first_block(&mut self, block: FirstBlock) -> Bytes {
        self.first_block = block;
        if !self.begin() {
            let says = self.asked.is_some() || self.lanes.iter().all(|lane| lane.start.is_after());
            let asked = says.then(|| self.asked_id());
            return FirstBlock { open_event: false, ..block }.encode(asked.as_deref());
        }
        self.opened = true;
        if !self.lanes.iter().any(Lane::may_reset) {
            return block.encode(Some(&self.cursor().to_string()));
        }
        // The reset is an event, with data and the id from which the stream goes on.
        FirstBlock { open_event: false, ..block }.encode(Some(&self.asked_id()))
    }

    /// Puts all that is ready into a batch, as wire bytes: up to `bytes_max` bytes, and at least one frame. The last frame
    /// may go beyond, and on several channels their ids may, up to about as much again.
    ///
    /// `Ready(true)`: there is something in the batch. `Ready(false)`: the hub is closed and everything before is read.
    /// Where it is `Pending`, the context's waker is woken once there is something.
    pub fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch, bytes_max: usize) -> Poll<bool> {
        batch.clear();
        let bytes_max = bytes_max.max(1);
        self.ready |= self.asking;
        loop {
            while batch.len() < bytes_max {
                let bytes_left = bytes_max - batch.len();
                match self.step(context, bytes_left, self.frames_max(bytes_left), &mut batch.frames) {
                    Step::Opened => {
                        let cursor = self.cursor().to_string();
                        batch.compose(|out| self.first_block.put_id(out, &cursor));
                    }
                    Step::Reset(reset) => batch.compose(|out| wire::reset_frame(out, &reset)),
                    Step::Frames(lane, bytes) => self.put_frames(lane, bytes, batch),
                    Step::Nothing => break,
                }
            }
            if !batch.is_empty() {
                return Poll::Ready(true);
            }
            match self.wait(context) {
                Wait::News => {}
                Wait::Closed => return Poll::Ready(false),
                Wait::Pending => return Poll::Pending,
            }
        }
    }

    /// What the client asked to go on after: its own id where it is of a kind that can be sent, else the cursor, in which
    /// lanes that have a reset to be told have not moved.
    fn asked_id(&self) -> String {
        if let Some(asked) = &self.asked {
            return asked.text().to_owned();
        }
        match &*self.lanes {
            [Lane { start: LaneStart::AfterOwnId(id), .. }] if EventId::new(id).is_ok() => id.to_string(),
            _ => self.cursor().to_string(),
        }
    }

    /// A subscription that stood at a tap.
    pub(crate) fn lifted(
        hub: Arc<Inner>,
        log: Arc<ChannelLog>,
        spot: LogCursor,
        mailbox: &Arc<dyn GroupWaker>,
        key: u32,
    ) -> Self {
        let bell = Arc::new(Bell::default());
        log.lift(&bell, mailbox, key);
        Self {
            hub,
            bell,
            lanes: [Lane::at_spot(log, spot)].into(),
            // It may have been told of news at the tap, and not have read them.
            ready: 1,
            asking: 0,
            asked: None,
            turn: 0,
            begun: true,
            opened: true,
            first_block: FirstBlock::default(),
        }
    }

    /// The log and the place in it, where that is all there is to the subscription.
    pub(crate) fn spot(&self) -> Option<(&Arc<ChannelLog>, LogCursor)> {
        let [only] = &*self.lanes else { return None };
        let spot = only.spot().filter(|_| self.opened)?;
        Some((&only.log, spot))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.hub
    }

    /// Becomes a spot at a tap: the channel keeps its reader.
    pub(crate) fn stand(mut self, mailbox: &Arc<dyn GroupWaker>, key: u32) {
        for lane in std::mem::take(&mut self.lanes) {
            lane.log.stand(&self.bell, mailbox, key);
        }
    }

    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.ready |= self.asking;
        loop {
            let mut frames = SmallVec::<[FrameBounds; 1]>::new();
            match self.step(context, usize::MAX, 1, &mut frames) {
                // The first block is a matter of the wire.
                Step::Opened => {}
                Step::Reset(reset) => return Poll::Ready(Some(Delivery::Reset(reset))),
                Step::Frames(lane, bytes) => {
                    let Some(bounds) = frames.first() else { continue };
                    let lane = &mut self.lanes[lane];
                    lane.position = bounds.position;
                    let channel = lane.log.channel().clone();
                    let frame = Frame::new(bytes, bounds);
                    let (position, cursor) = (bounds.position, self.cursor());
                    return Poll::Ready(Some(Delivery::Event(Delivered { channel, frame, position, cursor })));
                }
                Step::Nothing => match self.wait(context) {
                    Wait::News => {}
                    Wait::Closed => return Poll::Ready(None),
                    Wait::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// The one place that decides what comes next: the id of the first block, then resets in the order of the channels,
    /// then frames, a lane at a time, whose bounds go into `frames`.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
        frames_max: usize,
        frames: &mut impl Extend<FrameBounds>,
    ) -> Step {
        // A channel that can't be opened yet does not hold up the others.
        let begun = self.begin();
        let due = self.lanes.iter().position(Lane::is_reset_due);
        if begun && !std::mem::replace(&mut self.opened, true) && due.is_none() {
            return Step::Opened;
        }
        if let Some(due) = due {
            // So that it is the next to have its turn.
            self.ready |= 1 << due;
            self.turn = due as u32;
        }
        while self.ready != 0 {
            // The first bit at or after the turn, else the first of all.
            let from_turn = self.ready >> self.turn << self.turn;
            let number = if from_turn == 0 { self.ready } else { from_turn }.trailing_zeros();
            self.turn = (number + 1) % self.lanes.len() as u32;
            let index = number as usize;
            self.asking &= !(1 << number);
            match self.lanes[index].step(&self.hub, context, bytes_max, frames_max, frames) {
                Progress::Frames(bytes) => return Step::Frames(index, bytes),
                Progress::Reset(reason) => return Step::Reset(self.reset(index, reason)),
                Progress::CaughtUp => self.ready &= !(1 << number),
                Progress::Asking => {
                    self.ready &= !(1 << number);
                    self.asking |= 1 << number;
                }
            }
        }
        Step::Nothing
    }

    /// Finds where each lane begins, once its log is live. Returns whether all have.
    ///
    /// A log that becomes live notifies its readers, so nothing is looked up for lanes without news.
    fn begin(&mut self) -> bool {
        let has_news = |(number, lane): (usize, &Lane)| !lane.has_begun() && self.ready & (1 << number) != 0;
        if self.begun || !self.lanes.iter().enumerate().any(has_news) {
            return self.begun;
        }
        if let Some(asked) = &self.asked {
            let starts = {
                let logs: SmallVec<[&ChannelLog; 4]> = self.lanes.iter().map(|lane| &*lane.log).collect();
                asked.starts(&logs, |position| self.hub.has_epoch(position.epoch))
            };
            for (lane, start) in self.lanes.iter_mut().zip(starts) {
                lane.set_start(start);
            }
        }
        self.begun = true;
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let waited = !lane.has_begun();
            if !lane.begin(&self.hub) {
                self.begun = false;
            } else if waited {
                self.ready |= 1 << number;
            }
        }
        if self.begun {
            self.asked = None;
        }
        self.begun
    }

    /// The reset that a lane has just taken for told.
    fn reset(&mut self, index: usize, reason: ResetReason) -> Reset {
        self.hub.count_reset(reason);
        let lane = &self.lanes[index];
        let (channel, resumed_at) = (lane.log.channel().clone(), lane.position);
        Reset { channel, reason, resumed_at, cursor: self.cursor() }
    }

    /// Puts the frames that were read from a lane into a batch. On one channel they go as they lie in the log; on
    /// several, each gets the cursor for its id.
    fn put_frames(&mut self, lane: usize, mut bytes: Bytes, batch: &mut Batch) {
        let mut frames = std::mem::take(&mut batch.frames);
        if let [only] = &mut *self.lanes {
            if let Some(last) = frames.last() {
                only.position = last.position;
            }
            batch.push(bytes);
        } else {
            for frame in &frames {
                self.lanes[lane].position = frame.position;
                let mut bytes = bytes.split_to(frame.len);
                if frame.has_id() {
                    bytes.truncate(frame.shared_len);
                    batch.push(bytes);
                    let positions = self.lanes.iter().map(Lane::told);
                    batch.compose(|out| wire::put_id_end(out, |out| put_cursor(out, positions)));
                } else {
                    // A foreign event has no id on any connection.
                    batch.push(bytes);
                }
            }
        }
        frames.clear();
        batch.frames = frames;
    }

    /// How many frames fit beside their ids: on several channels each is sent with a cursor, which the log does not
    /// count, and which may be far longer than the frame.
    fn frames_max(&self, bytes: usize) -> usize {
        if self.lanes.len() == 1 { usize::MAX } else { bytes / (self.lanes.len() * POSITION_BYTES_MIN) }
    }

    fn wait(&mut self, context: &Context<'_>) -> Wait {
        // Looked at before the bell: the hub rings for what was published last before it says that it is closed. The
        // other way round an event that comes between the two looks, and the closing right after it, would end this
        // before the event.
        let closed = self.hub.is_closed();
        let rung = self.bell.take(context.waker());
        self.ready |= rung;
        if rung != 0 {
            Wait::News
        } else if closed && self.asking == 0 {
            Wait::Closed
        } else {
            Wait::Pending
        }
    }
}

enum Wait {
    News,
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
        // One without lanes stands at a tap, and has not left.
        if self.lanes.is_empty() {
            return;
        }
        for (lane, number) in self.lanes.iter().zip(0..) {
            lane.log.leave(&self.bell, number, self.hub.now());
        }
        self.hub.count_left();
    }
}
