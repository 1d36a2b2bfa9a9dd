//! Where a position, an id or a number of events lies in a log.
//!
//! It looks and changes nothing. What a subscriber is told of the answer is the matter of `channel_log/reading`.

use bytes::BytesMut;

use super::{Entry, Kind, Log};
use crate::{Event, Position, wire};

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

/// The events here that have an id of a publisher's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnId {
    /// What follows the oldest of them begins at this local number.
    pub(crate) next: u64,
    /// There are several.
    pub(crate) is_repeated: bool,
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

    /// Returns the position as this epoch has it, if it is a place here under another name.
    pub(crate) fn canonical(&self, position: Position) -> Position {
        let offset = self.same.iter().rev().find_map(|same| {
            let counts_alike = same.there.offset == same.here;
            let is_it = position == same.there;
            let is_before = counts_alike && position.epoch == same.there.epoch && position.offset < same.here;
            if is_it { Some(same.here) } else { is_before.then_some(position.offset) }
        });
        offset.map_or(position, |offset| Position { epoch: self.epoch(), offset })
    }

    /// Finds where what follows a position begins.
    pub(crate) fn locate(&self, position: Position) -> Located {
        let position = self.canonical(position);
        let is_start = position == self.start();
        if is_start && !self.lineage.is_empty() || !is_start && position == Position::START {
            // It was given out before the first of the channel's epochs. What an earlier one had and this one lacks was
            // after it too.
            return Located::Earlier(0);
        }
        let in_this_life = position.epoch == self.epoch() || is_start;
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

    /// Returns whether another event than this one is here at an offset of the present epoch.
    pub(crate) fn has_other_at(&mut self, offset: u64, event: &Event) -> bool {
        let before = |entry: &Entry| (entry.offset, entry.kind == Kind::Foreign) < (offset, false);
        let index = self.entries.partition_point(before);
        let Some(entry) = self.entries.get(index).filter(|entry| entry.offset == offset) else { return false };
        let (start, len, local) = (entry.start as usize, entry.len as usize, self.first + index as u64);
        let mut expected = BytesMut::with_capacity(len);
        wire::put(&mut expected, Position { epoch: self.epoch(), offset }, event);
        let block = self.segments.partition_point(|block| block.first <= local) - 1;
        self.segments[block].segment.bytes(start..start + len) != expected
    }

    /// Whether nothing that was ever counted here is missing, so that no history has more.
    pub(crate) fn is_whole(&self) -> bool {
        self.lineage.is_empty() && self.position_before(self.first).offset == 0
    }

    /// Finds the events with an id of a publisher's own.
    ///
    /// Looks at every entry, but only at one word of each, and at the bytes of those that have the same hash.
    pub(crate) fn locate_own_id(&mut self, id: &str) -> Option<OwnId> {
        let (id_len, id_hash) = ("id: \n".len() + id.len(), hash(id));
        let mut found = None;
        for (local, entry) in (self.first..).zip(&self.entries) {
            if entry.id_hash != id_hash || entry.kind != Kind::OwnId || usize::from(entry.id_len) != id_len {
                continue;
            }
            let block = self.segments.partition_point(|block| block.first <= local) - 1;
            let id_end = (entry.start + entry.len) as usize - "\n\n".len();
            if self.segments[block].segment.bytes(id_end - id.len()..id_end) != id.as_bytes() {
                continue;
            }
            match &mut found {
                None => found = Some(OwnId { next: local + 1, is_repeated: false }),
                Some(found) => {
                    found.is_repeated = true;
                    break;
                }
            }
        }
        found
    }
}

/// Hashes an own id (FNV-1a): so that a look for one passes over nearly all others.
pub(super) fn hash(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
