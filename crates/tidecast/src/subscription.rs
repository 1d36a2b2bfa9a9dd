//! A cursor per channel over the logs, and somebody to wake.
//!
//! It owns no event: what it reads is in the logs, shared with everybody else. It needs no runtime: it wakes a
//! [`Waker`](std::task::Waker), whose ever it is.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use futures_core::Stream;
use smallvec::SmallVec;

use crate::{
    Batch, Channel, Cursor, Delivered, Delivery, Epoch, EventId, Frame, Hub, Position, Reset, ResetReason,
    bell::Bell,
    channel_log::{ChannelLog, Read},
    cursor::put_cursor,
    hub::Inner,
    log::FrameBounds,
    position::POSITION_BYTES_MIN,
    resume::LaneStart,
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
    /// The lane to look at first, so that each has its turn.
    turn: u32,
    /// Whether every lane has begun, so that the cursor is known.
    begun: bool,
    /// Whether the first block's id has been told, or will not be.
    opened: bool,
    first_block: FirstBlock,
}

/// One channel of a subscription.
#[derive(Debug)]
struct Lane {
    log: Arc<ChannelLog>,
    start: LaneStart,
    /// It looked where it begins, and the log was not open.
    waited: bool,
    /// What is read next, in which life of the log; `None` while the log is not open.
    next: Option<(Epoch, u64)>,
    /// Where the subscriber stands, as far as it has been told: a reset that is still to be told does not move it, so
    /// that whoever is cut before it hears of it when it comes back.
    position: Position,
    reset: Option<ResetReason>,
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
    /// Joins the logs, which must be 1 to 64, each once.
    pub(crate) fn new(hub: Arc<Inner>, logs: Vec<(Arc<ChannelLog>, LaneStart)>, bell: Arc<Bell>) -> Self {
        let lane = |(log, start): (Arc<ChannelLog>, LaneStart)| {
            let position = match &start {
                LaneStart::After { position, .. } => *position,
                LaneStart::AfterOwnId(_) | LaneStart::AfterUnknown => Position::LOST,
                LaneStart::Live | LaneStart::Last(_) => Position::START,
            };
            Lane { log, start, waited: false, next: None, position, reset: None }
        };
        let lanes: Box<[_]> = logs.into_iter().map(lane).collect();
        let mut subscription = Self {
            hub,
            bell,
            ready: u64::MAX >> (64 - lanes.len()),
            lanes,
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
        self.lanes.iter().map(|lane| lane.position).collect()
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
    /// gives.
    pub fn first_block(&mut self, block: FirstBlock) -> Bytes {
        self.first_block = block;
        if !self.begin() {
            return block.encode(None);
        }
        self.opened = true;
        if self.lanes.iter().all(|lane| lane.reset.is_none()) {
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
        loop {
            while batch.len() < bytes_max {
                let bytes_left = bytes_max - batch.len();
                match self.step(bytes_left, self.frames_max(bytes_left), &mut batch.frames) {
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
        match &*self.lanes {
            [Lane { start: LaneStart::AfterOwnId(id), .. }] if EventId::new(id).is_ok() => id.to_string(),
            _ => self.cursor().to_string(),
        }
    }

    fn poll_delivery(&mut self, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            let mut frames = SmallVec::<[FrameBounds; 1]>::new();
            match self.step(usize::MAX, 1, &mut frames) {
                // The first block is a matter of the wire.
                Step::Opened => {}
                Step::Reset(reset) => return Poll::Ready(Some(Delivery::Reset(reset))),
                Step::Frames(lane, bytes) => {
                    let Some(bounds) = frames.first() else { continue };
                    let lane = &mut self.lanes[lane];
                    lane.position = bounds.position;
                    let channel = lane.log.channel().clone();
                    let frame = Frame::new(bytes, bounds.id_len);
                    let cursor = self.cursor();
                    return Poll::Ready(Some(Delivery::Event(Delivered { channel, frame, cursor })));
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
    fn step(&mut self, bytes_max: usize, frames_max: usize, frames: &mut impl Extend<FrameBounds>) -> Step {
        if !self.begin() {
            return Step::Nothing;
        }
        let reset = self.lanes.iter().position(|lane| lane.reset.is_some());
        if !std::mem::replace(&mut self.opened, true) && reset.is_none() {
            return Step::Opened;
        }
        if let Some(lane) = reset {
            return Step::Reset(self.reset(lane));
        }
        while self.ready != 0 {
            // The first bit at or after the turn, else the first of all.
            let from_turn = self.ready >> self.turn << self.turn;
            let lane = if from_turn == 0 { self.ready } else { from_turn }.trailing_zeros();
            self.turn = (lane + 1) % self.lanes.len() as u32;
            let index = lane as usize;
            let Some((epoch, next)) = self.lanes[index].next else { return Step::Nothing };
            let on_frame = |frame| frames.extend([frame]);
            match self.lanes[index].log.read(epoch, next, bytes_max, frames_max, on_frame) {
                Read::Frames { bytes, count } => {
                    self.lanes[index].next = Some((epoch, next + count));
                    return Step::Frames(index, bytes);
                }
                Read::CaughtUp => self.ready &= !(1 << lane),
                Read::Lost(reason) => {
                    self.lanes[index].reset = Some(reason);
                    return Step::Reset(self.reset(index));
                }
            }
        }
        Step::Nothing
    }

    /// Finds where each lane begins, once its log is open. Tells whether all have.
    fn begin(&mut self) -> bool {
        if self.begun {
            return true;
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.next.is_none()) {
            let Some(begin) = lane.log.begin(&lane.start, lane.waited) else {
                lane.waited = true;
                continue;
            };
            lane.next = Some((begin.epoch, begin.next));
            lane.reset = begin.reset;
            if begin.reset.is_none() {
                lane.position = begin.position;
            }
        }
        self.begun = self.lanes.iter().all(|lane| lane.next.is_some());
        self.begun
    }

    /// Tells a reset: only now the lane moves on.
    fn reset(&mut self, index: usize) -> Reset {
        let lane = &mut self.lanes[index];
        let reason = lane.reset.take().unwrap_or(ResetReason::TooSlow);
        let begin = lane.log.oldest();
        lane.next = Some((begin.epoch, begin.next));
        lane.position = begin.position;
        self.ready |= 1 << index;
        self.hub.count_reset(reason);
        let channel = self.lanes[index].log.channel().clone();
        Reset { channel, reason, resumed_at: begin.position, cursor: self.cursor() }
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
                batch.compose(|out| {
                    out.put_slice(b"id: ");
                    put_cursor(out, self.lanes.iter().map(|lane| lane.position));
                    out.put_u8(b'\n');
                });
                batch.push(bytes.split_to(frame.len).split_off(frame.id_len));
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
        } else if closed {
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
        for (lane, number) in self.lanes.iter().zip(0..) {
            lane.log.leave(&self.bell, number, self.hub.now());
        }
        self.hub.count_left();
    }
}
