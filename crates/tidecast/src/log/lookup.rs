//! Finding a position, an id or a number of events in a log.
//!
//! It changes nothing. The module `start_point` decides what a reader is told about the result.

use bytes::BytesMut;

use super::{Entry, EntryKind, Log, own_id_hash};
use crate::{Event, Position, wire::frame::put_frame};

/// The result of looking for a position in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Every event after the position is in the log, from this sequence number on.
    At(u64),
    /// Events after the position are no longer in the log.
    Expired,
    /// The position is of an unknown epoch.
    OtherEpoch,
    /// The position is past the newest event that this log has heard of.
    Ahead,
    /// The position is of an earlier epoch, and corresponds to this offset now.
    Earlier(u64),
}

/// The events in a log that have a publisher's own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnIdMatch {
    /// The sequence number after that of the oldest of them.
    pub(super) next: u64,
    /// Whether there are several.
    pub(super) is_repeated: bool,
}

impl Log {
    /// Returns the sequence number of the first of the newest `count` events that have a position.
    pub(crate) fn seq_of_newest(&self, count: usize) -> u64 {
        let Some(others) = count.checked_sub(1) else { return self.next_seq() };
        let own = self.entries.iter().enumerate().rev().filter(|(_, entry)| entry.kind != EntryKind::Foreign);
        own.map(|(index, _)| self.first_seq + index as u64).nth(others).unwrap_or(self.first_seq)
    }

    /// Returns the position just before a sequence number that is in the log or next.
    pub(crate) fn position_before(&self, seq: u64) -> Position {
        let offset = match self.entry(seq) {
            Some(Entry { offset, kind: EntryKind::Foreign, .. }) => *offset,
            Some(entry) => entry.offset - 1,
            None => self.head_offset,
        };
        Position { epoch: self.epoch(), offset }
    }

    /// Returns the position of the newest event.
    pub(crate) fn head(&self) -> Position {
        Position { epoch: self.epoch(), offset: self.head_offset }
    }

    /// Returns the position just before the oldest event in the log.
    pub(crate) fn tail(&self) -> Position {
        self.position_before(self.first_seq)
    }

    /// Returns the position in the present epoch, if it has an alias there.
    pub(super) fn normalize(&self, position: Position) -> Position {
        let offset = self.aliases.iter().rev().find_map(|alias| {
            let counts_alike = alias.there.offset == alias.here;
            let is_it = position == alias.there;
            let is_before = counts_alike && position.epoch == alias.there.epoch && position.offset < alias.here;
            if is_it { Some(alias.here) } else { is_before.then_some(position.offset) }
        });
        offset.map_or(position, |offset| Position { epoch: self.epoch(), offset })
    }

    /// Finds the first event after a position.
    pub(crate) fn locate(&self, position: Position) -> Lookup {
        let position = self.normalize(position);
        let is_start = position == self.start();
        if is_start && !self.lineage.is_empty() || !is_start && position == Position::START {
            // It was given out before the first of the channel's epochs. Events of an earlier epoch that this one lacks
            // came after it too.
            return Lookup::Earlier(0);
        }
        if position.epoch != self.epoch() && !is_start {
            let earlier = self.lineage.iter().find(|(epoch, _)| *epoch == position.epoch);
            return earlier.map_or(Lookup::OtherEpoch, |(_, reached)| Lookup::Earlier(position.offset.min(*reached)));
        }
        if position.offset > self.head_offset {
            Lookup::Ahead
        } else if position.offset < self.tail().offset {
            Lookup::Expired
        } else {
            // A foreign entry has the offset of the event before it, and follows that event.
            let is_passed =
                |entry: &Entry| (entry.offset, entry.kind == EntryKind::Foreign) <= (position.offset, false);
            Lookup::At(self.first_seq + self.entries.partition_point(is_passed) as u64)
        }
    }

    /// Returns whether the log has a different event at this offset of the present epoch.
    pub(crate) fn conflicts_at(&mut self, offset: u64, event: &Event) -> bool {
        let is_before = |entry: &Entry| (entry.offset, entry.kind == EntryKind::Foreign) < (offset, false);
        let index = self.entries.partition_point(is_before);
        let Some(entry) = self.entries.get(index).filter(|entry| entry.offset == offset) else { return false };
        let (start, len) = (entry.start as usize, entry.len as usize);
        let mut expected = BytesMut::with_capacity(len);
        put_frame(&mut expected, Position { epoch: self.epoch(), offset }, event);
        let segment = self.segment_of(self.first_seq + index as u64);
        self.segments[segment].segment.bytes(start..start + len) != expected
    }

    /// Returns whether the log has every event that was ever counted in it, so that no history has more.
    pub(crate) fn is_complete(&self) -> bool {
        self.lineage.is_empty() && self.tail().offset == 0
    }

    /// Finds the events with a publisher's own id.
    ///
    /// Looks at one word of every entry, and at the bytes of those with the same hash.
    pub(super) fn find_own_id(&mut self, id: &str) -> Option<OwnIdMatch> {
        let (id_len, id_hash) = ("id: \n".len() + id.len(), own_id_hash(id));
        let mut found = None;
        for (seq, entry) in (self.first_seq..).zip(&self.entries) {
            if entry.id_hash != id_hash || entry.kind != EntryKind::OwnId || usize::from(entry.id_len) != id_len {
                continue;
            }
            let segment = self.segments.partition_point(|segment| segment.first_seq <= seq) - 1;
            let id_end = (entry.start + entry.len) as usize - "\n\n".len();
            if self.segments[segment].segment.bytes(id_end - id.len()..id_end) != id.as_bytes() {
                continue;
            }
            match &mut found {
                None => found = Some(OwnIdMatch { next: seq + 1, is_repeated: false }),
                Some(found) => {
                    found.is_repeated = true;
                    break;
                }
            }
        }
        found
    }
}
