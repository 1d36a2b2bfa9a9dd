//! One channel of a subscription: where it stands, and what comes next there.
//!
//! A lane reads its channel's log. What the log no longer has, or does not have yet, it asks the broker for, by a
//! [`Refill`]; what neither has is told by a reset.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    LaneStart,
    backfill::{Page, Refill},
};
use crate::{
    Position, ResetReason,
    broker::{BrokerFuture, FoundId},
    channel_log::{Begin, ChannelLog, NotLive, Place, Read},
    hub::Inner,
    log::FrameBounds,
    reader_group::LogCursor,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) log: Arc<ChannelLog>,
    pub(crate) start: LaneStart,
    /// It looked where it begins, and the log was not live.
    waited: Option<NotLive>,
    /// Foreign events from this local number on are still to be sent: none from before it joined.
    foreign_from: u64,
    source: Source,
    /// Where the subscriber stands, as far as it has been told: a reset that is still to be told does not move it, so
    /// that whoever is cut before it hears of it when it comes back.
    pub(crate) position: Position,
    due: Option<ResetReason>,
}

/// From where a lane reads.
#[derive(Debug)]
enum Source {
    /// Nowhere yet: the log is not live.
    Opening,
    Log {
        life: u64,
        next: u64,
    },
    Broker(Box<Refill>),
    /// Where its id is found in the broker's history.
    OwnId(Box<Lookup>),
    /// The broker is closed, and what was to come from it will not.
    Ended,
}

/// An id of a publisher's own that is looked up in the broker's history.
struct Lookup {
    id: Box<str>,
    asked: BrokerFuture<'static, Option<FoundId>>,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What comes next in a lane.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Frames that lie side by side.
    Frames(Bytes),
    /// A reset, which the lane now takes for told.
    Reset(ResetReason),
    /// Nothing until the log is appended to.
    CaughtUp,
    /// The broker is asked: the context's waker is woken when it has answered.
    Asking,
}

impl Lane {
    /// A lane that joined its log at a local number.
    pub(crate) fn new(log: Arc<ChannelLog>, start: LaneStart, joined_at: u64) -> Self {
        let position = match &start {
            LaneStart::After { position, .. } => *position,
            LaneStart::AfterOwnId(_) | LaneStart::AfterUnknown | LaneStart::Added { .. } => Position::LOST,
            LaneStart::Live | LaneStart::Last(_) => Position::START,
        };
        Self { log, start, waited: None, foreign_from: joined_at, source: Source::Opening, position, due: None }
    }

    /// A lane that stood at a tap.
    pub(crate) fn at_spot(log: Arc<ChannelLog>, spot: LogCursor) -> Self {
        let source = Source::Log { life: spot.life, next: spot.next };
        Self {
            log,
            start: LaneStart::Live,
            waited: None,
            foreign_from: spot.next,
            source,
            position: spot.position,
            due: None,
        }
    }

    /// Where it stands in its log, if it reads there, has nothing else to tell first, and passes over nothing.
    pub(crate) fn spot(&self) -> Option<LogCursor> {
        match self.source {
            Source::Log { life, next } if self.due.is_none() && next >= self.foreign_from => {
                Some(LogCursor { life, next, position: self.position })
            }
            _ => None,
        }
    }

    /// Where it stands, as far as the client may be told. If it waits to begin with what is live, what it misses meanwhile
    /// is to be told to a client that comes back.
    pub(crate) fn told(&self) -> Position {
        if self.has_begun() || self.start.is_after() { self.position } else { Position::LOST }
    }

    /// Whether it knows where it begins.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.source, Source::Opening)
    }

    /// Begins elsewhere than it was to, unless it has begun.
    pub(crate) fn set_start(&mut self, start: LaneStart) {
        if !self.has_begun() {
            *self = Self { waited: self.waited, ..Self::new(self.log.clone(), start, self.foreign_from) };
        }
    }

    /// Finds where it begins, once the log is live. Returns whether it has.
    pub(crate) fn begin(&mut self, hub: &Arc<Inner>) -> bool {
        if self.has_begun() {
            return true;
        }
        match self.log.begin(&self.start, self.waited, hub.keeps_history(), || hub.now()) {
            Ok(begin) => {
                // Who said nothing of where it was is not told of what went by while it waited.
                if !self.start.is_after() {
                    self.pass_foreign(begin.foreign_gone);
                }
                match (begin.place, self.start.own_id()) {
                    (Place::OfOwnId { tail }, Some(id)) => {
                        let asked = hub.find_id(self.log.channel(), id, tail);
                        self.source = Source::OwnId(Box::new(Lookup { id: id.into(), asked }));
                    }
                    _ => self.go(begin),
                }
            }
            Err(not_live) => self.waited = Some(not_live),
        }
        self.has_begun()
    }

    /// Whether a reset is to be told before anything else of the subscription.
    pub(crate) fn is_reset_due(&self) -> bool {
        self.due.is_some() && matches!(self.source, Source::Log { .. })
    }

    /// Whether a reset will be told, now or when the broker has answered, or may be.
    pub(crate) fn may_reset(&self) -> bool {
        self.due.is_some() || matches!(self.source, Source::OwnId(_))
    }

    /// Reads on: up to a number of bytes and of frames, whose bounds go into `frames`.
    pub(crate) fn step(
        &mut self,
        hub: &Arc<Inner>,
        context: &mut Context<'_>,
        bytes_max: usize,
        frames_max: usize,
        frames: &mut impl Extend<FrameBounds>,
    ) -> Progress {
        // Bounded: each turn reads, or moves towards what can be read; a refill has a budget.
        loop {
            match &mut self.source {
                Source::Opening | Source::Ended => return Progress::CaughtUp,
                Source::Log { life, next } => {
                    let at = (*life, *next);
                    if let Some(reason) = self.due.take() {
                        let begin = self.log.anchor(at.0, at.1);
                        self.pass_foreign(begin.foreign_gone);
                        self.go(begin);
                        return Progress::Reset(reason);
                    }
                    let on_frame = |frame| frames.extend([frame]);
                    match self.log.read(at, self.foreign_from, bytes_max, frames_max, on_frame) {
                        Read::Frames { bytes, next: after } => {
                            *next = after;
                            return Progress::Frames(bytes);
                        }
                        Read::CaughtUp { next: after } => {
                            *next = after;
                            return Progress::CaughtUp;
                        }
                        Read::Behind { foreign_gone } => {
                            self.pass_foreign(at.1);
                            self.fall_behind(hub, foreign_gone);
                        }
                        Read::OtherLife => {
                            self.pass_foreign(at.1);
                            let begin = self.log.seek_again(self.position, hub.keeps_history());
                            // Also where its position is one in any life, as `0.0` is: what it had not read yet of the
                            // one that has ended may be in no other.
                            self.go(Begin { reset: begin.reset.or(Some(ResetReason::Restarted)), ..begin });
                        }
                    }
                }
                Source::Broker(refill) => match refill.poll(&self.log, hub, context) {
                    Poll::Pending => return Progress::Asking,
                    Poll::Ready(Page::Frames { before }) => {
                        if let Some(reason) = self.due.take() {
                            self.position = before;
                            self.pass_foreign(self.log.foreign_gone());
                            return Progress::Reset(reason);
                        }
                        let (bytes, count) = refill.take(bytes_max, frames_max, frames);
                        self.log.count_delivered(count, bytes.len() as u64);
                        return Progress::Frames(bytes);
                    }
                    Poll::Ready(Page::InLog(begin)) => self.rejoin(begin),
                    Poll::Ready(Page::Gone(reason)) => self.due = self.due.or(reason),
                    Poll::Ready(Page::NotYet { head }) => {
                        self.pass_foreign(head);
                        return Progress::CaughtUp;
                    }
                    Poll::Ready(Page::Closed) => self.source = Source::Ended,
                },
                Source::OwnId(lookup) => match lookup.asked.as_mut().poll(context) {
                    Poll::Pending => return Progress::Asking,
                    Poll::Ready(Err(error)) if error.is_closed() => self.source = Source::Ended,
                    Poll::Ready(found) => {
                        let begin = self.log.begin_after(&lookup.id, found);
                        self.go(begin);
                    }
                },
            }
        }
    }

    /// What was next has left the log.
    fn fall_behind(&mut self, hub: &Inner, foreign_gone: u64) {
        let reason = Some(ResetReason::TooSlow);
        if hub.keeps_history() {
            self.due = reason.filter(|_| self.pass_foreign(foreign_gone));
            self.source = Source::Broker(Box::new(Refill::behind(self.position, reason)));
        } else {
            let oldest = self.log.anchor(u64::MAX, 0);
            self.go(Begin { reset: reason, ..oldest });
        }
    }

    /// Goes on in the log after the broker's history. A reset that is still due is told there.
    fn rejoin(&mut self, begin: Begin) {
        let due = self.due.take();
        self.go(Begin { reset: begin.reset.or(due), ..begin });
    }

    fn go(&mut self, begin: Begin) {
        // A foreign event that left the log unread, also while the broker was asked, is in no history.
        let lost = self.pass_foreign(begin.foreign_gone).then_some(ResetReason::TooSlow);
        self.source = match begin.place {
            Place::Log { life, next } => Source::Log { life, next },
            Place::Behind { after, if_gone } => Source::Broker(Box::new(Refill::behind(after, if_gone))),
            Place::Ahead { after, .. } => Source::Broker(Box::new(Refill::ahead(after))),
            // Only for who begins.
            Place::OfOwnId { .. } => Source::Ended,
        };
        self.due = begin.reset.or(lost);
        if self.due.is_none() {
            self.position = begin.position;
        }
    }

    /// Sends no foreign event from before a local number any more. Returns whether one may have been still to be sent.
    fn pass_foreign(&mut self, before: u64) -> bool {
        let passes = before > self.foreign_from;
        self.foreign_from = self.foreign_from.max(before);
        passes
    }
}
