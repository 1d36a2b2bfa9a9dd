//! Where a reader starts or continues in a channel: in the log, or in the broker's history.

use std::cmp::Ordering;

use super::{Log, Lookup};
use crate::{Epoch, Position, ResetReason};

/// The start that a client asked for in one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChannelStart {
    Live,
    Last(usize),
    /// After a position. `text` is the whole id that it was parsed from, if that may be an event's own id too.
    After {
        position: Position,
        text: Option<Box<str>>,
    },
    /// After an event with its own id.
    AfterOwnId(Box<str>),
    /// After an id that no log can know.
    AfterUnknown,
    /// As [`Last`](Self::Last), because the client's cursor does not cover this channel; but if `text` is the own id of an
    /// event in the log, after that event.
    Added {
        text: Box<str>,
        count: usize,
    },
}

impl ChannelStart {
    /// Returns whether the client said where it was.
    pub(crate) fn is_after(&self) -> bool {
        matches!(self, Self::After { .. } | Self::AfterOwnId(_) | Self::AfterUnknown)
    }

    /// Returns the id that may be an event's own.
    pub(crate) fn own_id(&self) -> Option<&str> {
        match self {
            Self::After { text: Some(id), .. } | Self::AfterOwnId(id) => Some(id),
            _ => None,
        }
    }
}

/// Where a reader reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadSource {
    /// In this generation of the log, from the sequence number `next` on.
    Log { generation: u64, next: u64 },
    /// In the broker's history, after a position that is older than the log. `if_gone` is the reset to report if the broker
    /// no longer has the events that follow; `None` reports nothing.
    Behind { after: Position, if_gone: Option<ResetReason> },
    /// After a position that the log, now in `epoch`, has not reached: this node may lag behind another. `if_unknown` is
    /// the reset to report if the broker has not reached it either. Everything below the sequence number `head` precedes
    /// the position.
    Ahead { after: Position, if_unknown: ResetReason, epoch: Epoch, head: u64 },
    /// After a publisher's own id. The broker's history may have an older event with that id than the log has: up to the
    /// position `tail`, the log has nothing.
    OwnId { tail: Position },
}

/// Where a reader starts or continues, and the reset that it is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartPoint {
    pub(crate) source: ReadSource,
    pub(crate) position: Position,
    pub(crate) reset: Option<ResetReason>,
    /// Every foreign event below this sequence number was dropped.
    pub(crate) foreign_dropped: u64,
}

/// Whether a position is known to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PositionStatus {
    /// A log of this node had it, or the broker gave the events there.
    Known,
    /// Only a client's id says so.
    Claimed,
}

impl Log {
    /// Starts at a sequence number that is in the log or next.
    pub(crate) fn at_seq(&self, next: u64, reset: Option<ResetReason>) -> StartPoint {
        let source = ReadSource::Log { generation: self.generation(), next };
        self.start_point(source, self.position_before(next), reset)
    }

    /// Starts at the oldest event in the log.
    pub(crate) fn at_oldest(&self, reset: Option<ResetReason>) -> StartPoint {
        self.at_seq(self.first_seq(), reset)
    }

    /// Starts after a publisher's own id, if the log has it. Of several equal ids the oldest counts: a reader that was at a
    /// newer one gets events again, and is told.
    pub(crate) fn after_own_id(&mut self, id: &str) -> Option<StartPoint> {
        let found = self.find_own_id(id)?;
        Some(self.at_seq(found.next, found.is_repeated.then_some(ResetReason::AmbiguousId)))
    }

    /// Starts after a publisher's own id that the broker's history is to be searched for.
    pub(crate) fn search_own_id(&self) -> StartPoint {
        self.start_point(ReadSource::OwnId { tail: self.tail() }, Position::LOST, None)
    }

    /// Returns the earlier of two start points that an id may mean. The reader is told, unless they are the same.
    pub(crate) fn earlier(&self, one: StartPoint, other: StartPoint) -> StartPoint {
        let offset = |start: &StartPoint| match start.source {
            ReadSource::Log { next, .. } => self.position_before(next).offset,
            ReadSource::Behind { after, .. } | ReadSource::Ahead { after, .. } => after.offset,
            ReadSource::OwnId { tail } => tail.offset,
        };
        let reset = one.reset.or(other.reset);
        match offset(&one).cmp(&offset(&other)) {
            Ordering::Equal => StartPoint { reset, ..one },
            Ordering::Less => StartPoint { reset: reset.or(Some(ResetReason::AmbiguousId)), ..one },
            Ordering::Greater => StartPoint { reset: reset.or(Some(ResetReason::AmbiguousId)), ..other },
        }
    }

    /// Starts `count` events before the position at which the channel stood, or as many as there are. With `history`, the
    /// broker may have events that the log lacks.
    pub(crate) fn back_from(&self, head: Position, count: u64, history: bool) -> StartPoint {
        let too_slow = Some(ResetReason::TooSlow);
        match self.locate(head) {
            // The reader waited, and the events that came meanwhile are no longer in the log.
            Lookup::Expired if history => return self.behind(head, too_slow),
            Lookup::Expired => return self.at_oldest(too_slow),
            // The log started over meanwhile, and may have lost events with it.
            Lookup::OtherEpoch | Lookup::Earlier(_) => return self.after(head, history, PositionStatus::Known),
            Lookup::Ahead => return self.at_seq(self.next_seq(), None),
            Lookup::At(_) => {}
        }
        let after = Position { offset: head.offset.saturating_sub(count), ..head };
        match self.locate(after) {
            Lookup::At(next) => self.at_seq(next, None),
            _ if history => self.behind(after, None),
            _ => self.at_oldest(None),
        }
    }

    /// Starts after a position; after one of an earlier epoch of the same counting, at the same offset in this epoch.
    ///
    /// With `history`, the broker may have events that the log lacks.
    pub(crate) fn after(&self, position: Position, history: bool, status: PositionStatus) -> StartPoint {
        let position = self.normalize(position);
        match self.locate(position) {
            Lookup::At(next) => self.at_seq(next, None),
            Lookup::Expired if history => self.behind(position, Some(ResetReason::Expired)),
            Lookup::Expired => self.at_oldest(Some(ResetReason::Expired)),
            Lookup::Ahead if history => self.ahead(position, ResetReason::UnknownId),
            Lookup::Ahead => self.at_oldest(Some(ResetReason::UnknownId)),
            // Another node may have heard of an epoch, or of a channel's very first one, before this node.
            Lookup::OtherEpoch if history && status == PositionStatus::Claimed => {
                self.ahead(position, ResetReason::Restarted)
            }
            Lookup::OtherEpoch => self.at_oldest(Some(ResetReason::Restarted)),
            Lookup::Earlier(offset) => {
                let start = self.after(Position { offset, ..self.head() }, history, PositionStatus::Known);
                // The client learns its new position with the reset, and not before.
                StartPoint { position, reset: Some(ResetReason::Restarted), ..start }
            }
        }
    }

    fn behind(&self, after: Position, if_gone: Option<ResetReason>) -> StartPoint {
        self.start_point(ReadSource::Behind { after, if_gone }, after, None)
    }

    fn ahead(&self, after: Position, if_unknown: ResetReason) -> StartPoint {
        let source = ReadSource::Ahead { after, if_unknown, epoch: self.head().epoch, head: self.next_seq() };
        self.start_point(source, after, None)
    }

    fn start_point(&self, source: ReadSource, position: Position, reset: Option<ResetReason>) -> StartPoint {
        StartPoint { source, position, reset, foreign_dropped: self.foreign_dropped() }
    }
}
