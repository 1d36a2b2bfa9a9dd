//! A subscription's cursor in one channel, and what it reads next.
//!
//! The cursor reads its channel's log. Events that the log no longer has, or does not have yet, are requested from the
//! broker by a [`Backfill`]. If neither has them, the subscriber is told by a reset.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::backfill::{Backfill, BackfillStep};
use crate::{
    Position, ResetReason,
    broker::{BrokerFuture, FoundId},
    channel_log::{ChannelLog, LogRead, NotLive},
    hub::HubState,
    log::{ChannelStart, LogCursor, ReadSource, StartPoint},
    wire::frame::FrameBounds,
};

#[derive(Debug)]
pub(crate) struct ChannelCursor {
    pub(crate) log: Arc<ChannelLog>,
    pub(crate) start: ChannelStart,
    /// The log was not live when the cursor looked for its start.
    waited: Option<NotLive>,
    /// Foreign events below this sequence number are skipped, such as those from before the cursor joined.
    foreign_from: u64,
    state: CursorState,
    /// The position that the subscriber was told. A pending reset does not move it, so that a client that is cut before the
    /// reset is told when it returns.
    pub(crate) position: Position,
    pending_reset: Option<ResetReason>,
}

/// Where a cursor reads.
#[derive(Debug)]
enum CursorState {
    /// Nowhere yet, because the log is not live.
    Opening,
    Log {
        generation: u64,
        next: u64,
    },
    Backfill(Box<Backfill>),
    /// In the broker's history, where the client's id is being searched for.
    OwnId(Box<OwnIdSearch>),
    /// The broker is closed, so the events that it would have had will not come.
    Ended,
}

/// A search of the broker's history for a publisher's own id.
struct OwnIdSearch {
    id: Box<str>,
    request: BrokerFuture<'static, Option<FoundId>>,
}

impl fmt::Debug for OwnIdSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnIdSearch").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The next step in a channel.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Frames that lie side by side.
    Frames(Bytes),
    /// A reset, which the cursor now takes for told.
    Reset(ResetReason),
    /// Nothing until the log is appended to.
    CaughtUp,
    /// Nothing until the broker answers, which wakes the context's waker.
    AwaitsBroker,
}

impl ChannelCursor {
    /// Creates a cursor that joined its log at a sequence number.
    pub(crate) fn new(log: Arc<ChannelLog>, start: ChannelStart, joined_at: u64) -> Self {
        let position = match &start {
            ChannelStart::After { position, .. } => *position,
            ChannelStart::AfterOwnId(_) | ChannelStart::AfterUnknown | ChannelStart::Added { .. } => Position::LOST,
            ChannelStart::Live | ChannelStart::Last(_) => Position::START,
        };
        let state = CursorState::Opening;
        Self { log, start, waited: None, foreign_from: joined_at, state, position, pending_reset: None }
    }

    /// Creates the cursor of a reader that was in a group.
    pub(crate) fn from_log_cursor(log: Arc<ChannelLog>, cursor: LogCursor) -> Self {
        let LogCursor { generation, next, position } = cursor;
        Self { state: CursorState::Log { generation, next }, position, ..Self::new(log, ChannelStart::Live, next) }
    }

    /// Returns the place in the log, if the cursor reads there, has nothing to tell first, and skips nothing.
    pub(crate) fn log_cursor(&self) -> Option<LogCursor> {
        match self.state {
            CursorState::Log { generation, next } if self.pending_reset.is_none() && next >= self.foreign_from => {
                Some(LogCursor { generation, next, position: self.position })
            }
            _ => None,
        }
    }

    /// Returns the position that the client may be told. A client that waits for the channel to become live, and returns
    /// before that, must learn that it may have missed events.
    pub(crate) fn told(&self) -> Position {
        if self.has_started() || self.start.is_after() { self.position } else { Position::LOST }
    }

    /// Returns whether the cursor has found its start.
    pub(crate) fn has_started(&self) -> bool {
        !matches!(self.state, CursorState::Opening)
    }

    /// Changes the start, unless the cursor has found it.
    pub(crate) fn set_start(&mut self, start: ChannelStart) {
        if !self.has_started() {
            *self = Self { waited: self.waited, ..Self::new(self.log.clone(), start, self.foreign_from) };
        }
    }

    /// Finds the start, once the log is live. Returns whether it is found.
    pub(crate) fn try_start(&mut self, hub: &Arc<HubState>) -> bool {
        if self.has_started() {
            return true;
        }
        match self.log.start(&self.start, self.waited, hub.keeps_history(), || hub.now()) {
            Ok(point) => {
                // A client that did not say where it was is not told about events of the time while it waited.
                if !self.start.is_after() {
                    self.skip_foreign(point.foreign_dropped);
                }
                match (point.source, self.start.own_id()) {
                    (ReadSource::OwnId { tail }, Some(id)) => {
                        let request = hub.find_id(self.log.channel(), id, tail);
                        self.state = CursorState::OwnId(Box::new(OwnIdSearch { id: id.into(), request }));
                    }
                    _ => self.continue_at(point),
                }
            }
            Err(not_live) => self.waited = Some(not_live),
        }
        self.has_started()
    }

    /// Returns whether a reset must be told before anything else of the subscription.
    pub(crate) fn is_reset_due(&self) -> bool {
        self.pending_reset.is_some() && matches!(self.state, CursorState::Log { .. })
    }

    /// Returns whether a reset is pending, or may be once the broker has answered.
    pub(crate) fn may_reset(&self) -> bool {
        self.pending_reset.is_some() || matches!(self.state, CursorState::OwnId(_))
    }

    /// Reads on, up to a number of bytes and of frames, and adds the bounds to `frames`.
    pub(crate) fn step(
        &mut self,
        hub: &Arc<HubState>,
        context: &mut Context<'_>,
        bytes_max: usize,
        frames_max: usize,
        frames: &mut impl Extend<FrameBounds>,
    ) -> Progress {
        // Bounded: each turn reads, or moves towards events that can be read, and a backfill is bounded.
        loop {
            match &mut self.state {
                CursorState::Opening | CursorState::Ended => return Progress::CaughtUp,
                CursorState::Log { generation, next } => {
                    let at = (*generation, *next);
                    if let Some(reason) = self.pending_reset.take() {
                        let point = self.log.resume_at(at.0, at.1);
                        self.skip_foreign(point.foreign_dropped);
                        self.continue_at(point);
                        return Progress::Reset(reason);
                    }
                    let on_frame = |frame| frames.extend([frame]);
                    match self.log.read(at, self.foreign_from, bytes_max, frames_max, on_frame) {
                        LogRead::Frames { bytes, next: after } => {
                            *next = after;
                            return Progress::Frames(bytes);
                        }
                        LogRead::CaughtUp { next: after } => {
                            *next = after;
                            return Progress::CaughtUp;
                        }
                        LogRead::Behind { foreign_dropped } => {
                            self.skip_foreign(at.1);
                            self.fall_behind(hub, foreign_dropped);
                        }
                        LogRead::OtherGeneration => {
                            self.skip_foreign(at.1);
                            let point = self.log.seek_again(self.position, hub.keeps_history());
                            // A reset even if the position exists in every generation, as `0.0` does: unread events of
                            // the generation that has ended may be in no other.
                            let reset = point.reset.or(Some(ResetReason::Restarted));
                            self.continue_at(StartPoint { reset, ..point });
                        }
                    }
                }
                CursorState::Backfill(backfill) => match backfill.poll(&self.log, hub, context) {
                    Poll::Pending => return Progress::AwaitsBroker,
                    Poll::Ready(BackfillStep::Frames { before }) => {
                        if let Some(reason) = self.pending_reset.take() {
                            self.position = before;
                            self.skip_foreign(self.log.foreign_dropped());
                            return Progress::Reset(reason);
                        }
                        let (bytes, count) = backfill.take(bytes_max, frames_max, frames);
                        self.log.count_delivered(count, bytes.len() as u64);
                        return Progress::Frames(bytes);
                    }
                    Poll::Ready(BackfillStep::InLog(point)) => {
                        // A reset that is still pending is told in the log.
                        let pending = self.pending_reset.take();
                        self.continue_at(StartPoint { reset: point.reset.or(pending), ..point });
                    }
                    Poll::Ready(BackfillStep::Gone(reason)) => self.pending_reset = self.pending_reset.or(reason),
                    Poll::Ready(BackfillStep::NotYet { head }) => {
                        self.skip_foreign(head);
                        return Progress::CaughtUp;
                    }
                    Poll::Ready(BackfillStep::Closed) => self.state = CursorState::Ended,
                },
                CursorState::OwnId(search) => match search.request.as_mut().poll(context) {
                    Poll::Pending => return Progress::AwaitsBroker,
                    Poll::Ready(Err(error)) if error.is_closed() => self.state = CursorState::Ended,
                    Poll::Ready(found) => {
                        let point = self.log.start_after_own_id(&search.id, found);
                        self.continue_at(point);
                    }
                },
            }
        }
    }

    /// Continues after the next event has left the log.
    fn fall_behind(&mut self, hub: &HubState, foreign_dropped: u64) {
        let reason = Some(ResetReason::TooSlow);
        if hub.keeps_history() {
            self.pending_reset = reason.filter(|_| self.skip_foreign(foreign_dropped));
            self.state = CursorState::Backfill(Box::new(Backfill::behind(self.position, reason)));
        } else {
            let point = self.log.oldest();
            self.continue_at(StartPoint { reset: reason, ..point });
        }
    }

    fn continue_at(&mut self, point: StartPoint) {
        // A foreign event that left the log unread, even while the broker was asked, is in no history.
        let lost = self.skip_foreign(point.foreign_dropped).then_some(ResetReason::TooSlow);
        self.state = match point.source {
            ReadSource::Log { generation, next } => CursorState::Log { generation, next },
            ReadSource::Behind { after, if_gone } => CursorState::Backfill(Box::new(Backfill::behind(after, if_gone))),
            ReadSource::Ahead { after, .. } => CursorState::Backfill(Box::new(Backfill::ahead(after))),
            // Only a cursor that starts has this source.
            ReadSource::OwnId { .. } => CursorState::Ended,
        };
        self.pending_reset = point.reset.or(lost);
        if self.pending_reset.is_none() {
            self.position = point.position;
        }
    }

    /// Skips the foreign events below a sequence number. Returns whether one of them may have been unread.
    fn skip_foreign(&mut self, below: u64) -> bool {
        let has_unread = below > self.foreign_from;
        self.foreign_from = self.foreign_from.max(below);
        has_unread
    }
}
