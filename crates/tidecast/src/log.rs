//! The bounded recent past of one channel.
//!
//! A log is a value: it is given the time and the bounds with each call, and knows no lock, no waker and no HTTP. Readers
//! keep their own place in it. Frames lie side by side in [`Segment`]s, in the order of their offsets.
//!
//! Every entry has a sequence number, which grows by 1 and never starts over while the log lives. Most entries also have
//! an offset. A foreign event, one that was published past Tidecast, has none: it lies between two events that have.

mod epochs;
mod lookup;
mod segment;
mod start_point;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use self::segment::Segment;
pub(crate) use self::{
    epochs::InitialPosition,
    lookup::Lookup,
    start_point::{ChannelStart, PositionStatus, ReadSource, StartPoint},
};
use crate::{
    Epoch, Limits, Position,
    limits::{EVENT_ID_BYTES_MAX, SEGMENT_BYTES},
    wire::frame::{EncodedEvent, FrameBounds, put_frame_end},
};

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// `None` until the broker has told where the channel stands.
    epoch: Option<Epoch>,
    /// The epoch that stood for the channel before its first event. Offset 0 in it is the log's beginning too.
    origin: Epoch,
    /// Grows each time the log starts over. A reader keeps it with its sequence number, and so notices.
    generation: u64,
    /// The offset of the newest event, even if its frame is gone.
    head_offset: u64,
    /// Earlier epochs of the same counting and the offset that each had reached, newest first.
    lineage: Vec<(Epoch, u64)>,
    /// The offset after which this generation began, if the broker's history differs from the earlier one there.
    rewound_to: Option<u64>,
    /// Positions in other epochs that are positions in this one, with nothing lost between.
    aliases: Vec<EpochAlias>,
    /// The sequence number of the oldest entry, or of the next one if the log is empty.
    first_seq: u64,
    entries: VecDeque<Entry>,
    segments: VecDeque<LogSegment>,
    frame_bytes: usize,
    segment_bytes: usize,
    appended_at: Duration,
    /// The sequence number after that of the newest foreign entry that was dropped.
    foreign_dropped: u64,
}

/// A position of another epoch that is a position in the present one. If both epochs count alike, so are all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EpochAlias {
    there: Position,
    here: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The entry's own offset; for a foreign entry, that of the event before it.
    offset: u64,
    at_ms: u64,
    start: u32,
    len: u32,
    /// The hash of the publisher's own id; 0 if there is none.
    id_hash: u32,
    /// The length of the id line, which is the last line before the empty line; 0 for a foreign entry.
    id_len: u16,
    kind: EntryKind,
    is_json: bool,
}

const _: () = assert!(size_of::<Entry>() == 32, "an entry has grown");

/// The content of an entry's id line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EntryKind {
    Position,
    OwnId,
    /// The entry has no id line.
    Foreign,
}

#[derive(Debug)]
struct LogSegment {
    segment: Segment,
    /// The sequence number of the first entry in it.
    first_seq: u64,
}

/// Longest end of a frame: an id line with a publisher's own id, which may be longer than a position, and the empty line.
const END_BYTES_MAX: usize = "id: \n\n".len() + EVENT_ID_BYTES_MAX;

/// Frames that lie side by side, read at once.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    /// The sequence number to read next.
    pub(crate) next: u64,
}

/// A reader's place in its channel's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCursor {
    pub(crate) generation: u64,
    /// The sequence number to read next.
    pub(crate) next: u64,
    /// The position of the event before it.
    pub(crate) position: Position,
}

impl Log {
    /// Returns the epoch and the newest offset, or `None` until the log is open.
    pub(crate) fn position(&self) -> Option<Position> {
        self.epoch.map(|epoch| Position { epoch, offset: self.head_offset })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Appends an event at the next offset, then trims to the bounds of a single log.
    ///
    /// The new event stays, whatever its size.
    pub(crate) fn append(&mut self, now: Duration, event: &EncodedEvent<'_>, limits: &Limits) -> Position {
        self.head_offset += 1;
        let position = Position { epoch: self.epoch(), offset: self.head_offset };
        let mut end = [0; END_BYTES_MAX];
        let mut room = &mut end[..];
        put_frame_end(&mut room, position, event.event);
        let kind = if event.event.id().is_some() { EntryKind::OwnId } else { EntryKind::Position };
        let end_len = END_BYTES_MAX - room.len();
        let id_hash = event.event.id().map_or(0, |id| own_id_hash(id.as_str()));
        self.push(now, kind, event, &end[..end_len], id_hash, limits);
        position
    }

    /// Appends an event without a position.
    pub(crate) fn append_foreign(&mut self, now: Duration, event: &EncodedEvent<'_>, limits: &Limits) {
        self.push(now, EntryKind::Foreign, event, b"\n", 0, limits);
    }

    /// Returns the sequence number of the next event.
    pub(crate) fn next_seq(&self) -> u64 {
        self.first_seq + self.entries.len() as u64
    }

    /// Returns the sequence number of the oldest event in the log.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Reads frames that lie side by side from a sequence number on, and passes the bounds of each to `on_frame`.
    ///
    /// Reads up to `bytes_max` bytes and `frames_max` frames, but at least one frame unless `from` is the head. `from`
    /// must not be below [`first_seq`](Self::first_seq). Foreign entries below `foreign_from` are skipped.
    pub(crate) fn read(
        &mut self,
        mut from: u64,
        foreign_from: u64,
        bytes_max: usize,
        frames_max: usize,
        mut on_frame: impl FnMut(FrameBounds),
    ) -> Run {
        debug_assert!(from >= self.first_seq);
        let head = self.next_seq();
        let is_skipped = |seq: u64, entry: &Entry| entry.kind == EntryKind::Foreign && seq < foreign_from;
        while self.entry(from).is_some_and(|entry| is_skipped(from, entry)) {
            from += 1;
        }
        let index = (from - self.first_seq) as usize;
        let Some(first) = self.entries.get(index) else { return Run { bytes: Bytes::new(), next: head } };
        let start = first.start as usize;
        let segment = self.segment_of(from);
        let segment_end = self.segments.get(segment + 1).map_or(u64::MAX, |next| next.first_seq);
        let in_segment = (segment_end - from).min(head - from) as usize;

        let epoch = self.epoch();
        let mut len = 0;
        let mut next = from;
        for entry in self.entries.range(index..index + in_segment.min(frames_max.max(1))) {
            if len > 0 && len + entry.len as usize > bytes_max || is_skipped(next, entry) {
                break;
            }
            len += entry.len as usize;
            next += 1;
            on_frame(FrameBounds {
                len: entry.len as usize,
                shared_len: entry.len as usize - usize::from(entry.id_len) - "\n".len(),
                position: Position { epoch, offset: entry.offset },
                is_json: entry.is_json,
            });
        }
        Run { bytes: self.segments[segment].segment.bytes(start..start + len), next }
    }

    /// Returns the sequence number below which every foreign entry was dropped. No history has foreign entries.
    pub(crate) fn foreign_dropped(&self) -> u64 {
        self.foreign_dropped
    }

    /// Drops the events that are too old, even the newest.
    pub(crate) fn sweep(&mut self, now: Duration, limits: &Limits) {
        self.drop_before(now.saturating_sub(limits.log_age_max));
    }

    /// Drops every event, and keeps the position.
    pub(crate) fn clear(&mut self) {
        let newest_foreign = self.entries.iter().rposition(|entry| entry.kind == EntryKind::Foreign);
        if let Some(index) = newest_foreign {
            self.foreign_dropped = self.first_seq + index as u64 + 1;
        }
        self.first_seq = self.next_seq();
        self.entries = VecDeque::new();
        self.segments = VecDeque::new();
        self.frame_bytes = 0;
        self.segment_bytes = 0;
    }

    /// Drops every event from before a time, and keeps the position.
    pub(crate) fn drop_before(&mut self, time: Duration) {
        let oldest_ms = millis(time);
        while self.entries.front().is_some_and(|entry| entry.at_ms < oldest_ms) {
            self.drop_oldest();
        }
        self.release_memory();
    }

    /// Returns whether there ever was an event, as far as the log knows.
    pub(crate) fn had_events(&self) -> bool {
        self.head_offset > 0 || self.next_seq() > 0
    }

    /// Returns the number of events in the log.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the bytes of the frames in the log.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Returns the memory that the log holds: its segments with their unused space, and the table of entries.
    pub(crate) fn memory(&self) -> usize {
        self.segment_bytes
            + self.entries.capacity() * size_of::<Entry>()
            + self.segments.capacity() * size_of::<LogSegment>()
    }

    /// Returns when the last event was appended.
    pub(crate) fn appended_at(&self) -> Duration {
        self.appended_at
    }

    fn epoch(&self) -> Epoch {
        self.epoch.unwrap_or(Epoch::NONE)
    }

    fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(seq.checked_sub(self.first_seq)?).ok()?)
    }

    /// Returns the index of the segment that has an entry.
    fn segment_of(&self, seq: u64) -> usize {
        self.segments.partition_point(|segment| segment.first_seq <= seq) - 1
    }

    /// Appends an entry. `end` is what follows the shared lines of its frame: an id line, unless the event is foreign,
    /// and the empty line.
    fn push(
        &mut self,
        now: Duration,
        kind: EntryKind,
        event: &EncodedEvent<'_>,
        end: &[u8],
        id_hash: u32,
        limits: &Limits,
    ) {
        let seq = self.next_seq();
        let len = event.shared.len() + end.len();
        let range = self.segment_with_room(len, seq).append(&[&event.shared, end]);
        self.entries.push_back(Entry {
            offset: self.head_offset,
            at_ms: millis(now),
            start: range.start as u32,
            len: len as u32,
            id_hash,
            id_len: (end.len() - "\n".len()) as u16,
            kind,
            is_json: event.event.data_json().is_some(),
        });
        self.frame_bytes += len;
        self.appended_at = now;
        self.trim(now, limits);
    }

    fn segment_with_room(&mut self, len: usize, seq: u64) -> &mut Segment {
        if self.segments.back().is_none_or(|last| last.segment.room() < len) {
            let grown = self.segments.back().map_or(0, |last| last.segment.capacity() * 2);
            let capacity = grown.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()).max(len);
            self.segment_bytes += capacity;
            self.segments.push_back(LogSegment { segment: Segment::new(capacity), first_seq: seq });
        }
        &mut self.segments.back_mut().expect("a segment was just added if there was none").segment
    }

    fn trim(&mut self, now: Duration, limits: &Limits) {
        while self.len() > 1 && (self.len() > limits.log_events_max || self.frame_bytes > limits.log_bytes_max) {
            self.drop_oldest();
        }
        self.sweep(now, limits);
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if entry.kind == EntryKind::Foreign {
            self.foreign_dropped = self.first_seq + 1;
        }
        self.first_seq += 1;
        self.frame_bytes -= entry.len as usize;
        // A segment goes once the next one begins at or before the oldest entry.
        while self.segments.get(1).is_some_and(|next| next.first_seq <= self.first_seq) {
            if let Some(oldest) = self.segments.pop_front() {
                self.segment_bytes -= oldest.segment.capacity();
            }
        }
    }

    fn release_memory(&mut self) {
        if self.entries.is_empty() {
            self.clear();
        } else if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Hashes a publisher's own id (FNV-1a), so that a search for one passes over nearly all other entries.
fn own_id_hash(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
