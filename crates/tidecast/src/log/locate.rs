//! Where a position, an id or a number of events lies in a log.
//!
//! It looks and changes nothing. What a subscriber is told of the answer is the matter of `channel_log/reading`.

use super::{Entry, Kind, Log};
use crate::Position;

/// Where a position lies in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Located {
    /// What follows the position begins at this local number, and is all here.
    At(u64),
    /// Events that follow it are no longer here.
    Expired,
    /// It is of another life of the log.
    OtherEpoch,
    /// It lies past the newest event that this log has heard of.
    Ahead,
    /// It is of an epoch that went before, and says the same as this offset does now.
    Earlier(u64),
}

impl Log {
    /// The local number from which the newest `count` events that have a position are read.
    pub(crate) fn newest(&self, count: usize) -> u64 {
        let Some(others) = count.checked_sub(1) else { return self.head() };
        let own = self.entries.iter().enumerate().rev().filter(|(_, entry)| entry.kind != Kind::Foreign);
        own.map(|(index, _)| self.first + index as u64).nth(others).unwrap_or(self.first)
    }

    /// The position just before a local number that is here or next.
    pub(crate) fn position_before(&self, local: u64) -> Position {
        let offset = match self.entry(local) {
            Some(Entry { offset, kind: Kind::Foreign, .. }) => *offset,
            Some(entry) => entry.offset - 1,
            None => self.head_offset,
        };
        Position { epoch: self.epoch(), offset }
    }

    /// Finds where what follows a position begins.
    pub(crate) fn locate(&self, position: Position) -> Located {
        if position == Position::START && !self.lineage.is_empty() {
            // `0.0` was given out before the first of the channel's epochs. What an earlier one had and this one lacks was
            // after it too.
            return Located::Earlier(0);
        }
        let in_this_life = position.epoch == self.epoch() || position == Position::START;
        if !in_this_life {
            let earlier = self.lineage.iter().find(|(epoch, _)| *epoch == position.epoch);
            return earlier.map_or(Located::OtherEpoch, |(_, reached)| Located::Earlier(position.offset.min(*reached)));
        }
        if position.offset > self.head_offset {
            Located::Ahead
        } else if position.offset < self.position_before(self.first).offset {
            Located::Expired
        } else {
            // A foreign entry has the offset of the event before it, and follows that event.
            let passed = |entry: &Entry| (entry.offset, entry.kind == Kind::Foreign) <= (position.offset, false);
            Located::At(self.first + self.entries.partition_point(passed) as u64)
        }
    }

    /// Finds where what follows an id of a publisher's own begins; of several alike, the newest counts.
    ///
    /// Looks at every entry that is here at most, and at the bytes of those with own ids.
    pub(crate) fn locate_own_id(&mut self, id: &str) -> Option<u64> {
        let id_len = "id: \n".len() + id.len();
        let mut end = self.entries.len();
        for block in self.segments.iter_mut().rev() {
            let begin = block.first.saturating_sub(self.first) as usize;
            for (index, entry) in self.entries.range(begin..end).enumerate().rev() {
                if entry.kind == Kind::OwnId && usize::from(entry.id_len) == id_len {
                    let start = entry.start as usize + "id: ".len();
                    if block.segment.bytes(start..start + id.len()) == id.as_bytes() {
                        return Some(self.first + (begin + index) as u64 + 1);
                    }
                }
            }
            end = begin;
        }
        None
    }
}
