//! A subscription's side of a channel's log: finding its start, reading on, and reading the past.

use std::time::Duration;

use bytes::Bytes;

use super::ChannelLog;
use crate::{
    Frame, Position, ResetReason, Result,
    broker::FoundId,
    log::{ChannelStart, Log, Lookup, PositionStatus, StartPoint},
    wire::frame::FrameBounds,
};

/// The log was not live when a reader looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotLive {
    /// How often it had been live before.
    openings: u32,
}

/// How a log recognizes a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PositionMatch {
    /// Its epoch is, or was, the log's own.
    Epoch,
    /// It is what the broker calls the beginning of a channel without an event.
    Start,
    None,
}

/// The result of an attempt to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogRead {
    /// Frames that lie side by side, and the sequence number to read next.
    Frames { bytes: Bytes, next: u64 },
    /// There is nothing to read.
    CaughtUp { next: u64 },
    /// The next event is no longer in the log. Every foreign event below `foreign_dropped` was dropped.
    Behind { foreign_dropped: u64 },
    /// The log started over.
    OtherGeneration,
}

impl ChannelLog {
    /// Finds where a reader starts, unless the log is not live. A reader that `waited` was there before the log became live,
    /// so it gets every event since then.
    ///
    /// With `history`, a start that the log does not have is one to ask the broker for.
    pub(crate) fn start(
        &self,
        start: &ChannelStart,
        waited: Option<NotLive>,
        history: bool,
        now: impl FnOnce() -> Duration,
    ) -> Result<StartPoint, NotLive> {
        let mut state = self.state.lock();
        if !state.live {
            state.waiting_since.get_or_insert_with(now);
            let openings = state.openings;
            return Err(match waited {
                None => NotLive { openings },
                // The log was live in between, and this reader has not started.
                Some(since) if since.openings.wrapping_add(1) == openings => {
                    state.keeps_live_after = true;
                    NotLive { openings }
                }
                Some(since) => since,
            });
        }
        let is_authority = state.is_authority;
        let (live_after, live_reset) = match waited {
            None => (state.log.head(), None),
            Some(since) if since.openings.wrapping_add(1) == state.openings => (state.live_after, state.live_reset),
            // The log was live, was suspended, and is live again. The events of the first time are no longer known.
            Some(_) => (state.live_after, Some(ResetReason::TooSlow)),
        };
        let log = &mut state.log;
        let asks_broker = history && !log.is_complete();
        let live = |count: usize, log: &Log| {
            let point = log.back_from(live_after, count as u64, history);
            StartPoint { reset: point.reset.or(live_reset), ..point }
        };
        Ok(match start {
            ChannelStart::Live => live(0, log),
            ChannelStart::Last(count) => live(*count, log),
            ChannelStart::Added { text, count } => match log.after_own_id(text) {
                Some(point) => StartPoint { reset: Some(ResetReason::AmbiguousId), ..point },
                None => live(*count, log),
            },
            ChannelStart::After { position, text } => {
                let by_position = log.after(*position, history, PositionStatus::Claimed);
                let by_own_id = text.as_deref().and_then(|text| log.after_own_id(text));
                match (by_own_id, log.locate(*position)) {
                    (None, _) => by_position,
                    // No log of this channel has had that epoch, as far as this node knows.
                    (Some(_), Lookup::OtherEpoch) if asks_broker => log.search_own_id(),
                    (Some(by_own_id), Lookup::OtherEpoch) => by_own_id,
                    // A log that assigns the positions never gives out `0.0`.
                    (Some(by_own_id), _) if is_authority && *position == Position::START => by_own_id,
                    (Some(by_own_id), _) => log.earlier(by_position, by_own_id),
                }
            }
            ChannelStart::AfterOwnId(_) if asks_broker => log.search_own_id(),
            ChannelStart::AfterOwnId(id) => {
                log.after_own_id(id).unwrap_or_else(|| log.at_oldest(Some(ResetReason::UnknownId)))
            }
            ChannelStart::AfterUnknown => log.at_oldest(Some(ResetReason::UnknownId)),
        })
    }

    /// Finds where a reader starts that returned with a publisher's own id, given the oldest event with that id in the
    /// broker's history: `None` if there is none, an error if the history could not be read.
    pub(crate) fn start_after_own_id(&self, id: &str, found: Result<Option<FoundId>>) -> StartPoint {
        let mut state = self.state.lock();
        let log = &mut state.log;
        let in_log = log.after_own_id(id);
        match (in_log, found) {
            (None, Ok(None) | Err(_)) => log.at_oldest(Some(ResetReason::UnknownId)),
            (Some(in_log), Ok(None)) => in_log,
            // The history may have an older event with the id.
            (Some(in_log), Err(_)) => StartPoint { reset: Some(ResetReason::AmbiguousId), ..in_log },
            (in_log, Ok(Some(found))) => {
                let point = log.after(found.position, true, PositionStatus::Claimed);
                let reset = point.reset.or(found.is_repeated.then_some(ResetReason::AmbiguousId));
                let in_history = StartPoint { reset, ..point };
                in_log.map_or(in_history, |in_log| log.earlier(in_history, in_log))
            }
        }
    }

    /// Returns how the log recognizes a position. `0.0` may belong to any log.
    pub(crate) fn match_position(&self, position: Position) -> PositionMatch {
        let state = self.state.lock();
        match state.log.locate(position) {
            _ if position == Position::START => PositionMatch::None,
            _ if position == state.log.start() => PositionMatch::Start,
            Lookup::OtherEpoch => PositionMatch::None,
            _ => PositionMatch::Epoch,
        }
    }

    /// Returns whether a position is that of the channel before its first event.
    pub(crate) fn is_start(&self, position: Position) -> bool {
        self.state.lock().log.start() == position
    }

    /// Finds where a reader at a position continues, in the log or in the broker's history.
    pub(crate) fn seek(&self, position: Position, status: PositionStatus) -> StartPoint {
        self.state.lock().log.after(position, true, status)
    }

    /// Finds where a reader continues that stood at a position in an earlier generation of the log.
    pub(crate) fn seek_again(&self, position: Position, history: bool) -> StartPoint {
        let state = self.state.lock();
        state.log.after(state.log.rewound(position), history, PositionStatus::Known)
    }

    /// Finds where a reader continues after a reset: at its next event if that is in the log, else at the oldest event.
    pub(crate) fn resume_at(&self, generation: u64, next: u64) -> StartPoint {
        let state = self.state.lock();
        if state.log.generation() == generation && next >= state.log.first_seq() {
            state.log.at_seq(next, None)
        } else {
            state.log.at_oldest(None)
        }
    }

    /// Finds the oldest event in the log.
    pub(crate) fn oldest(&self) -> StartPoint {
        self.state.lock().log.at_oldest(None)
    }

    /// Returns the sequence number below which every foreign event was dropped.
    pub(crate) fn foreign_dropped(&self) -> u64 {
        self.state.lock().log.foreign_dropped()
    }

    /// Returns the position of the newest event.
    pub(crate) fn head(&self) -> Position {
        self.state.lock().log.head()
    }

    /// Returns the position just before the oldest event in the log.
    pub(crate) fn tail(&self) -> Position {
        self.state.lock().log.tail()
    }

    /// Reads on from a reader's place, and passes the bounds of each frame to `on_frame`.
    ///
    /// Reads up to `bytes_max` bytes and `frames_max` frames, but at least one frame if there is one. Foreign events below
    /// `foreign_from` are skipped.
    pub(crate) fn read(
        &self,
        (generation, next): (u64, u64),
        foreign_from: u64,
        bytes_max: usize,
        frames_max: usize,
        mut on_frame: impl FnMut(FrameBounds),
    ) -> LogRead {
        let mut state = self.state.lock();
        if state.log.generation() != generation {
            return LogRead::OtherGeneration;
        }
        if next < state.log.first_seq() {
            return LogRead::Behind { foreign_dropped: state.log.foreign_dropped() };
        }
        let mut count = 0;
        let run = state.log.read(next, foreign_from, bytes_max, frames_max, |frame| {
            count += 1;
            on_frame(frame);
        });
        if count == 0 {
            return LogRead::CaughtUp { next: run.next };
        }
        state.counts.delivered += count;
        state.counts.delivered_bytes += run.bytes.len() as u64;
        LogRead::Frames { bytes: run.bytes, next: run.next }
    }

    /// Counts events that a reader was given from elsewhere.
    pub(crate) fn count_delivered(&self, frames: u64, bytes: u64) {
        let mut state = self.state.lock();
        state.counts.delivered += frames;
        state.counts.delivered_bytes += bytes;
    }

    /// Reads up to `limit` events that the log has: those after a position, or the newest if it is `None`.
    ///
    /// Also returns whether nothing before them is missing.
    pub(crate) fn past(&self, after: Option<Position>, limit: usize) -> (Vec<(Position, Frame)>, bool) {
        let mut state = self.state.lock();
        let log = &mut state.log;
        let (mut from, is_complete) = match after {
            None => (log.seq_of_newest(limit), true),
            Some(position) => match log.locate(position) {
                Lookup::At(from) => (from, true),
                Lookup::Expired | Lookup::OtherEpoch | Lookup::Earlier(_) => (log.first_seq(), false),
                Lookup::Ahead => (log.next_seq(), false),
            },
        };
        let mut frames = Vec::new();
        while frames.len() < limit {
            let mut bounds = Vec::new();
            let run = log.read(from, u64::MAX, usize::MAX, limit - frames.len(), |frame| bounds.push(frame));
            let mut bytes = run.bytes;
            if bounds.is_empty() {
                break;
            }
            from = run.next;
            let split = |frame: FrameBounds| (frame.position, Frame::new(bytes.split_to(frame.len), &frame));
            frames.extend(bounds.into_iter().map(split));
        }
        (frames, is_complete)
    }
}
