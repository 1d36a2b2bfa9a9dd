//! The bounded recent past of one channel.
//!
//! A value: it takes the time and the bounds with each call, knows no lock, no waker and no HTTP, and every reader is a
//! number that the reader keeps itself. Frames lie side by side in [`Segment`]s, in the order of their offsets.
//!
//! Every entry has a local number, which grows by 1 and never starts over while the log lives. Most have an offset too;
//! one that is foreign, published past Tidecast, has none and lies between two that have.

mod epochs;
mod lookup;
mod segment;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use self::{epochs::SamePlace, segment::Segment};
use crate::{
    Epoch, Limits, Position,
    limits::{EVENT_ID_BYTES_MAX, SEGMENT_BYTES},
    wire::{EncodedEvent, put_end},
};

pub(crate) use self::lookup::Located;

/// See the module.
#[derive(Debug)]
pub(crate) struct Log {
    /// `None` until the broker has told where the channel stands.
    epoch: Option<Epoch>,
    /// The epoch that stood for the channel before its first event: the position 0 in it is the log's beginning too.
    origin: Epoch,
    /// Counts how often the log started over. A reader keeps it beside its number, and so notices.
    life: u64,
    /// The offset of the newest event, kept when its frame is not.
    head_offset: u64,
    /// Epochs that went before in the same counting, and the offset that each had reached: newest first.
    lineage: Vec<(Epoch, u64)>,
    /// The offset after which this life began, if what the one before had there was not what the broker has.
    rewound_to: Option<u64>,
    /// Places in other epochs that are places in this one, with nothing lost between.
    same: Vec<SamePlace>,
    /// The local number of the oldest entry, or of the next one if there is none.
    first: u64,
    entries: VecDeque<Entry>,
    segments: VecDeque<Block>,
    frame_bytes: usize,
    segment_bytes: usize,
    appended_at: Duration,
    /// The local number after that of the newest foreign entry that is no longer here.
    foreign_gone: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its own, or that of the newest event before it if it is foreign.
    offset: u64,
    at_ms: u64,
    start: u32,
    len: u32,
    /// Of an id of the publisher's own; else 0.
    id_hash: u32,
    /// The length of the id line, which is the last but for the empty line; zero if the entry is foreign.
    id_len: u16,
    kind: Kind,
    is_json: bool,
}

const _: () = assert!(size_of::<Entry>() == 32, "an entry has grown");

/// What stands in an entry's id line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Position,
    OwnId,
    /// None: the entry has no line.
    Foreign,
}

#[derive(Debug)]
struct Block {
    segment: Segment,
    /// The local number of the first entry in it.
    first: u64,
}

/// One frame among those that are read at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameBounds {
    pub(crate) len: usize,
    /// The length of the lines before the id line and the empty line.
    pub(crate) shared_len: usize,
    pub(crate) position: Position,
    /// Whether the data was published as JSON, which its bytes alone do not tell.
    pub(crate) is_json: bool,
}

impl FrameBounds {
    /// Returns whether the frame has an id line: every frame has but a foreign event's.
    pub(crate) fn has_id(&self) -> bool {
        self.len > self.shared_len + "\n".len()
    }
}

/// Longest end of a frame: the id line, with an id of the publisher's own, as a position is shorter, and the empty line.
const END_BYTES_MAX: usize = "id: \n\n".len() + EVENT_ID_BYTES_MAX;

/// What was read at once.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) bytes: Bytes,
    /// The local number that is to be read next.
    pub(crate) next: u64,
}

impl Log {
    /// The epoch and the newest offset; `None` until the log is open.
    pub(crate) fn position(&self) -> Option<Position> {
        self.epoch.map(|epoch| Position { epoch, offset: self.head_offset })
    }

    /// Which life of the log this is.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// Adds the next event as its frame.
    ///
    /// Trims by every bound of a single log. The event itself stays, whatever its size.
    pub(crate) fn append(&mut self, now: Duration, event: &EncodedEvent<'_>, limits: &Limits) -> Position {
        self.head_offset += 1;
        let position = Position { epoch: self.epoch(), offset: self.head_offset };
        let mut end = [0; END_BYTES_MAX];
        let mut room = &mut end[..];
        put_end(&mut room, position, event.event);
        let kind = if event.event.id().is_some() { Kind::OwnId } else { Kind::Position };
        let end_len = END_BYTES_MAX - room.len();
        let id_hash = event.event.id().map_or(0, |id| lookup::hash(id.as_str()));
        self.push(now, kind, event, &end[..end_len], id_hash, limits);
        position
    }

    /// Adds an event that has no position.
    pub(crate) fn append_foreign(&mut self, now: Duration, event: &EncodedEvent<'_>, limits: &Limits) {
        self.push(now, Kind::Foreign, event, b"\n", 0, limits);
    }

    /// The local number of the next event.
    pub(crate) fn head(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The local number of the oldest event that is here.
    pub(crate) fn oldest(&self) -> u64 {
        self.first
    }

    /// Reads from a local number on: frames that lie side by side, up to a number of bytes and of frames, but at least
    /// one frame. Tells the bounds of each; at the head there are none. `from` must not be older than
    /// [`oldest`](Self::oldest). Foreign entries older than `foreign_from` are passed over.
    pub(crate) fn read(
        &mut self,
        from: u64,
        foreign_from: u64,
        bytes_max: usize,
        frames_max: usize,
        mut on_frame: impl FnMut(FrameBounds),
    ) -> Stretch {
        debug_assert!(from >= self.first);
        let head = self.head();
        let passed_over = |local: u64, entry: &Entry| entry.kind == Kind::Foreign && local < foreign_from;
        let mut from = from;
        while self.entry(from).is_some_and(|entry| passed_over(from, entry)) {
            from += 1;
        }
        let index = (from - self.first) as usize;
        let Some(first) = self.entries.get(index) else { return Stretch { bytes: Bytes::new(), next: head } };
        let start = first.start as usize;
        let block = self.segments.partition_point(|block| block.first <= from) - 1;
        let block_end = self.segments.get(block + 1).map_or(u64::MAX, |next| next.first);
        let in_block = (block_end - from).min(head - from) as usize;

        let epoch = self.epoch();
        let mut len = 0;
        let mut next = from;
        for entry in self.entries.range(index..index + in_block.min(frames_max.max(1))) {
            if len > 0 && len + entry.len as usize > bytes_max || passed_over(next, entry) {
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
        Stretch { bytes: self.segments[block].segment.bytes(start..start + len), next }
    }

    /// Foreign entries before this local number are gone, and no history has them.
    pub(crate) fn foreign_gone(&self) -> u64 {
        self.foreign_gone
    }

    /// Drops what has grown too old. The newest too.
    pub(crate) fn sweep(&mut self, now: Duration, limits: &Limits) {
        self.drop_before(now.saturating_sub(limits.log_age_max));
    }

    /// Drops every event, and keeps the position.
    pub(crate) fn clear(&mut self) {
        let newest_foreign = self.entries.iter().rposition(|entry| entry.kind == Kind::Foreign);
        if let Some(index) = newest_foreign {
            self.foreign_gone = self.first + index as u64 + 1;
        }
        self.first = self.head();
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

    /// Whether there ever was an event, as far as the log knows.
    pub(crate) fn had_events(&self) -> bool {
        self.head_offset > 0 || self.head() > 0
    }

    /// How many events are here.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of the frames that are here.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// The memory that this log holds: blocks, with what is still free in them, and the table of entries.
    pub(crate) fn memory(&self) -> usize {
        self.segment_bytes
            + self.entries.capacity() * size_of::<Entry>()
            + self.segments.capacity() * size_of::<Block>()
    }

    /// When the last event came.
    pub(crate) fn appended_at(&self) -> Duration {
        self.appended_at
    }

    fn epoch(&self) -> Epoch {
        self.epoch.unwrap_or(Epoch::NONE)
    }

    fn entry(&self, local: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(local.checked_sub(self.first)?).ok()?)
    }

    /// Puts an entry behind all others. `end` is what the frame has behind the shared lines: an id line, unless it is
    /// foreign, and the empty line.
    fn push(&mut self, now: Duration, kind: Kind, event: &EncodedEvent<'_>, end: &[u8], id_hash: u32, limits: &Limits) {
        let local = self.head();
        let len = event.shared.len() + end.len();
        let range = self.block_with_room(len, local).segment.append(&[&event.shared, end]);
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

    fn block_with_room(&mut self, len: usize, local: u64) -> &mut Block {
        if self.segments.back().is_none_or(|block| block.segment.room() < len) {
            let grown = self.segments.back().map_or(0, |block| block.segment.capacity() * 2);
            let capacity = grown.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()).max(len);
            self.segment_bytes += capacity;
            self.segments.push_back(Block { segment: Segment::new(capacity), first: local });
        }
        self.segments.back_mut().expect("one was just made sure of")
    }

    fn trim(&mut self, now: Duration, limits: &Limits) {
        while self.len() > 1 && (self.len() > limits.log_events_max || self.frame_bytes > limits.log_bytes_max) {
            self.drop_oldest();
        }
        self.sweep(now, limits);
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if entry.kind == Kind::Foreign {
            self.foreign_gone = self.first + 1;
        }
        self.first += 1;
        self.frame_bytes -= entry.len as usize;
        // A block goes when the next one begins at or before what is now oldest.
        while self.segments.get(1).is_some_and(|next| next.first <= self.first) {
            if let Some(block) = self.segments.pop_front() {
                self.segment_bytes -= block.segment.capacity();
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

impl Default for Log {
    fn default() -> Self {
        Self {
            epoch: None,
            origin: Epoch::NONE,
            life: 0,
            head_offset: 0,
            lineage: Vec::new(),
            rewound_to: None,
            same: Vec::new(),
            first: 0,
            entries: VecDeque::new(),
            segments: VecDeque::new(),
            frame_bytes: 0,
            segment_bytes: 0,
            appended_at: Duration::ZERO,
            foreign_gone: 0,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
