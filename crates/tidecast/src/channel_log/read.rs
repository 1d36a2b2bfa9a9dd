//! What a subscription does with a channel's log: it finds its place, reads on, and looks at the past.

use std::{cmp::Ordering, time::Duration};

use bytes::Bytes;

use super::ChannelLog;
use crate::{
    Epoch, Frame, Position, ResetReason, Result,
    broker::FoundId,
    log::{FrameBounds, Located, Log},
    subscription::LaneStart,
};

/// Where a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the log, in this life of it, before this local number.
    Log { life: u64, next: u64 },
    /// At a position before the oldest that the log has. `if_gone` is what to tell where the broker does not have what
    /// follows either; `None`: nothing.
    Behind { after: Position, if_gone: Option<ResetReason> },
    /// At a position that the log, which is in this epoch, has not come to: this node may lag behind another. `if_unknown`
    /// is what to tell where the broker has not come to it either. Whatever is here, before the local number `head`,
    /// precedes it.
    Ahead { after: Position, if_unknown: ResetReason, epoch: Epoch, head: u64 },
    /// Behind an id of a publisher's own, of which the broker's history may have an older one than the log: up to the
    /// position `tail`, what is not here.
    OfOwnId { tail: Position },
}

/// Where a reader begins or goes on, and what it is to be told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) place: Place,
    pub(crate) position: Position,
    pub(crate) reset: Option<ResetReason>,
    /// Foreign events before this local number are gone for good.
    pub(crate) foreign_gone: u64,
}

/// The log was not live when a reader looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotLive {
    /// How often it had been live before.
    openings: u32,
}

/// What a log knows of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knows {
    /// The epoch is, or was, the log's own.
    Epoch,
    /// It is what the broker calls the beginning of a channel without an event.
    Start,
    Nothing,
}

/// What came of an attempt to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Frames that lie side by side, and what is to be read after them.
    Frames { bytes: Bytes, next: u64 },
    /// There is nothing to read.
    CaughtUp { next: u64 },
    /// What is next is no longer here. Foreign events before `foreign_gone` are gone for good.
    Behind { foreign_gone: u64 },
    /// The log started over.
    OtherLife,
}

impl ChannelLog {
    /// Finds where a reader begins, unless the log is not live. One that `waited` was here before that, so everything
    /// since then is live to it.
    ///
    /// With `history`, a place that the log does not have is one to ask the broker about.
    pub(crate) fn begin(
        &self,
        start: &LaneStart,
        waited: Option<NotLive>,
        history: bool,
        now: impl FnOnce() -> Duration,
    ) -> Result<Begin, NotLive> {
        let mut state = self.state.lock();
        if !state.live {
            state.waiting_since.get_or_insert_with(now);
            let openings = state.openings;
            return Err(match waited {
                None => NotLive { openings },
                // It was live in between, and this reader has not begun.
                Some(since) if since.openings.wrapping_add(1) == openings => {
                    state.keeps_live_after = true;
                    NotLive { openings }
                }
                Some(since) => since,
            });
        }
        let is_authority = state.is_authority;
        let (live_after, live_reset) = match waited {
            None => (state.log.position_before(state.log.head()), None),
            Some(since) if since.openings.wrapping_add(1) == state.openings => (state.live_after, state.live_reset),
            // The log was live, was suspended, and is live again: what came the first time is not known any more.
            Some(_) => (state.live_after, Some(ResetReason::TooSlow)),
        };
        let log = &mut state.log;
        let asks = history && !log.is_whole();
        let live = |log: &Log, count: usize| {
            let begin = log.back_from(live_after, count as u64, history);
            Begin { reset: begin.reset.or(live_reset), ..begin }
        };
        Ok(match start {
            LaneStart::Live => live(log, 0),
            LaneStart::Last(count) => live(log, *count),
            LaneStart::Added { text, count } => match log.after_own_id(text) {
                Some(begin) => Begin { reset: Some(ResetReason::AmbiguousId), ..begin },
                None => live(log, *count),
            },
            LaneStart::After { position, text } => {
                let of_position = log.after(*position, history, history);
                let of_own_id = text.as_deref().and_then(|text| log.after_own_id(text));
                match (of_own_id, log.locate(*position)) {
                    (None, _) => of_position,
                    // No log of this channel has had that epoch, as far as this node knows.
                    (Some(_), Located::OtherEpoch) if asks => log.of_own_id(),
                    (Some(of_own_id), Located::OtherEpoch) => of_own_id,
                    // Logs that draw the positions give out no `0.0`.
                    (Some(of_own_id), _) if is_authority && *position == Position::START => of_own_id,
                    (Some(of_own_id), _) => log.earlier(of_position, of_own_id),
                }
            }
            LaneStart::AfterOwnId(_) if asks => log.of_own_id(),
            LaneStart::AfterOwnId(id) => {
                log.after_own_id(id).unwrap_or_else(|| log.at_oldest(Some(ResetReason::UnknownId)))
            }
            LaneStart::AfterUnknown => log.at_oldest(Some(ResetReason::UnknownId)),
        })
    }

    /// Finds where a reader begins that comes with an id of a publisher's own, of which a broker's history has this event
    /// as the oldest; `None` if the history has none, or could not be asked.
    pub(crate) fn begin_after(&self, id: &str, found: Result<Option<FoundId>>) -> Begin {
        let mut state = self.state.lock();
        let log = &mut state.log;
        let here = log.after_own_id(id);
        match (here, found) {
            (None, Ok(None) | Err(_)) => log.at_oldest(Some(ResetReason::UnknownId)),
            (Some(here), Ok(None)) => here,
            // There may be an older one.
            (Some(here), Err(_)) => Begin { reset: Some(ResetReason::AmbiguousId), ..here },
            (here, Ok(Some(found))) => {
                let there = log.after(found.position, true, true);
                let reset = there.reset.or(found.is_repeated.then_some(ResetReason::AmbiguousId));
                let there = Begin { reset, ..there };
                here.map_or(there, |here| log.earlier(there, here))
            }
        }
    }

    /// Returns what the log knows of a position. `0.0` may be of any.
    pub(crate) fn knows(&self, position: Position) -> Knows {
        let state = self.state.lock();
        match state.log.locate(position) {
            _ if position == Position::START => Knows::Nothing,
            _ if position == state.log.start() => Knows::Start,
            Located::OtherEpoch => Knows::Nothing,
            _ => Knows::Epoch,
        }
    }

    /// Whether a position is that of a channel before its first event.
    pub(crate) fn is_start(&self, position: Position) -> bool {
        self.state.lock().log.start() == position
    }

    /// Finds where a reader goes on that stands at a position. `claimed`: it is a client's word, and no log of this node
    /// has had it yet.
    pub(crate) fn seek(&self, position: Position, history: bool, claimed: bool) -> Begin {
        self.state.lock().log.after(position, history, claimed)
    }

    /// Finds where a reader goes on that stood at a position in an earlier life of the log.
    pub(crate) fn seek_again(&self, position: Position, history: bool) -> Begin {
        let state = self.state.lock();
        state.log.after(state.log.rewound(position), history, false)
    }

    /// Where a reader goes on that lost its place: before what it wanted to read, if that is here, else before the oldest
    /// that is.
    pub(crate) fn anchor(&self, life: u64, next: u64) -> Begin {
        let state = self.state.lock();
        if state.log.life() == life && next >= state.log.oldest() {
            state.log.from(next, None)
        } else {
            state.log.at_oldest(None)
        }
    }

    /// Foreign events before this local number are gone for good.
    pub(crate) fn foreign_gone(&self) -> u64 {
        self.state.lock().log.foreign_gone()
    }

    /// The position of the newest event.
    pub(crate) fn head(&self) -> Position {
        let state = self.state.lock();
        state.log.position_before(state.log.head())
    }

    /// The position just before the oldest event that is here.
    pub(crate) fn tail(&self) -> Position {
        let state = self.state.lock();
        state.log.position_before(state.log.oldest())
    }

    /// Reads on from where a reader is: up to a number of bytes and of frames, but at least one frame. Foreign events
    /// from before `foreign_from` are passed over.
    pub(crate) fn read(
        &self,
        (life, next): (u64, u64),
        foreign_from: u64,
        bytes_max: usize,
        frames_max: usize,
        mut on_frame: impl FnMut(FrameBounds),
    ) -> Read {
        let mut state = self.state.lock();
        if state.log.life() != life {
            return Read::OtherLife;
        }
        if next < state.log.oldest() {
            return Read::Behind { foreign_gone: state.log.foreign_gone() };
        }
        let mut count = 0;
        let read = state.log.read(next, foreign_from, bytes_max, frames_max, |frame| {
            count += 1;
            on_frame(frame);
        });
        if count == 0 {
            return Read::CaughtUp { next: read.next };
        }
        state.counts.delivered += count;
        state.counts.delivered_bytes += read.bytes.len() as u64;
        Read::Frames { bytes: read.bytes, next: read.next }
    }

    /// Counts what a reader was given that was not read here.
    pub(crate) fn count_delivered(&self, frames: u64, bytes: u64) {
        let mut state = self.state.lock();
        state.counts.delivered += frames;
        state.counts.delivered_bytes += bytes;
    }

    /// Reads what is here of the past, after a position or else the newest: at most `limit` frames, and whether nothing
    /// before them is missing.
    pub(crate) fn past(&self, after: Option<Position>, limit: usize) -> (Vec<(Position, Frame)>, bool) {
        let mut state = self.state.lock();
        let log = &mut state.log;
        let (mut from, complete) = match after {
            None => (log.newest(limit), true),
            Some(position) => match log.locate(position) {
                Located::At(from) => (from, true),
                Located::Expired | Located::OtherEpoch | Located::Earlier(_) => (log.oldest(), false),
                Located::Ahead => (log.head(), false),
            },
        };
        let mut frames = Vec::new();
        while frames.len() < limit {
            let mut bounds = Vec::new();
            let read = log.read(from, u64::MAX, usize::MAX, limit - frames.len(), |frame| bounds.push(frame));
            let mut bytes = read.bytes;
            if bounds.is_empty() {
                break;
            }
            from = read.next;
            let split = |frame: FrameBounds| (frame.position, Frame::new(bytes.split_to(frame.len), &frame));
            frames.extend(bounds.into_iter().map(split));
        }
        (frames, complete)
    }
}

impl Log {
    fn from(&self, next: u64, reset: Option<ResetReason>) -> Begin {
        self.at(Place::Log { life: self.life(), next }, self.position_before(next), reset)
    }

    fn at_oldest(&self, reset: Option<ResetReason>) -> Begin {
        self.from(self.oldest(), reset)
    }

    /// What follows an id of a publisher's own, if it is here. Of several alike, the oldest: a reader that stood at a newer
    /// one is given events again, and is told.
    fn after_own_id(&mut self, id: &str) -> Option<Begin> {
        let found = self.locate_own_id(id)?;
        Some(self.from(found.next, found.is_repeated.then_some(ResetReason::AmbiguousId)))
    }

    /// Behind an id of a publisher's own, of which history may have an older one.
    fn of_own_id(&self) -> Begin {
        let tail = self.position_before(self.oldest());
        self.at(Place::OfOwnId { tail }, Position::LOST, None)
    }

    /// Of two places that an id may mean, the one from which more is read. The reader is told, unless it is one place.
    fn earlier(&self, one: Begin, other: Begin) -> Begin {
        let offset = |begin: &Begin| match begin.place {
            Place::Log { next, .. } => self.position_before(next).offset,
            Place::Behind { after, .. } | Place::Ahead { after, .. } => after.offset,
            Place::OfOwnId { tail } => tail.offset,
        };
        let reset = one.reset.or(other.reset);
        match offset(&one).cmp(&offset(&other)) {
            Ordering::Equal => Begin { reset, ..one },
            Ordering::Less => Begin { reset: reset.or(Some(ResetReason::AmbiguousId)), ..one },
            Ordering::Greater => Begin { reset: reset.or(Some(ResetReason::AmbiguousId)), ..other },
        }
    }

    /// The last `count` before where the channel stood, as many as there are, and all that came after it.
    fn back_from(&self, head: Position, count: u64, history: bool) -> Begin {
        let too_slow = Some(ResetReason::TooSlow);
        match self.locate(head) {
            // It waited, and what came meanwhile is no longer here.
            Located::Expired if history => return self.behind(head, too_slow),
            Located::Expired => return self.at_oldest(too_slow),
            // The log started over meanwhile: whether anything was lost with it nobody knows.
            Located::OtherEpoch | Located::Earlier(_) => return self.after(head, history, false),
            Located::Ahead => return self.from(self.head(), None),
            Located::At(_) => {}
        }
        let after = Position { offset: head.offset.saturating_sub(count), ..head };
        match self.locate(after) {
            Located::At(next) => self.from(next, None),
            _ if history => self.behind(after, None),
            _ => self.at_oldest(None),
        }
    }

    fn behind(&self, after: Position, if_gone: Option<ResetReason>) -> Begin {
        self.at(Place::Behind { after, if_gone }, after, None)
    }

    fn ahead(&self, after: Position, if_unknown: ResetReason) -> Begin {
        let epoch = self.position_before(self.head()).epoch;
        self.at(Place::Ahead { after, if_unknown, epoch, head: self.head() }, after, None)
    }

    fn at(&self, place: Place, position: Position, reset: Option<ResetReason>) -> Begin {
        Begin { place, position, reset, foreign_gone: self.foreign_gone() }
    }

    /// What follows a position. Of another epoch of the same counting: what follows the same offset in this one.
    fn after(&self, position: Position, history: bool, claimed: bool) -> Begin {
        let position = self.canonical(position);
        match self.locate(position) {
            Located::At(next) => self.from(next, None),
            Located::Expired if history => self.behind(position, Some(ResetReason::Expired)),
            Located::Expired => self.at_oldest(Some(ResetReason::Expired)),
            Located::Ahead if history => self.ahead(position, ResetReason::UnknownId),
            Located::Ahead => self.at_oldest(Some(ResetReason::UnknownId)),
            // Another node may have heard of an epoch, or of a channel's very first one, before this one has.
            Located::OtherEpoch if claimed => self.ahead(position, ResetReason::Restarted),
            Located::OtherEpoch => self.at_oldest(Some(ResetReason::Restarted)),
            Located::Earlier(offset) => {
                let after = Position { offset, ..self.position_before(self.head()) };
                let begin = self.after(after, history, false);
                // Where it stands is told with the reset, and not before.
                Begin { position, reset: Some(ResetReason::Restarted), ..begin }
            }
        }
    }
}
