//! The unread frames of one subscriber, most of them shared with others, within limits.
//!
//! One publish at a time appends, and one reader reads. Neither encodes, wakes or waits under the lock. A publish notifies
//! the reader afterwards.

use std::{collections::VecDeque, fmt, mem, task::Waker};

use super::options::{FeedOptions, WhenFull};
use crate::{Frame, notify::ReadySet, sync::Mutex};

/// The number of frames that an emptied log keeps room for.
const FRAMES_KEPT: usize = 16;

pub(super) struct FeedLog {
    events_max: usize,
    bytes_max: usize,
    when_full: WhenFull,
    ready_set: ReadySet,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The number of events that were dropped before the oldest, and not told yet.
    missed: u64,
    /// A publish found no room, and waits for the next read.
    is_awaited: bool,
    /// Nothing more is accepted.
    ended: bool,
}

/// Whether a frame may be appended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Available,
    /// No. The next read reports that a publish waits.
    Awaited,
}

/// The outcome of appending a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppendToFeed {
    Appended,
    /// The feed had ended.
    Ended,
    /// The frame exceeded the limits, and ended the feed.
    Overflowed,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FeedRead {
    /// This many events were dropped, which must be told before the frames that follow.
    Missed(u64),
    /// All frames that there are, or as many as were wanted.
    Frames {
        /// Whether a publish waits for the room.
        is_awaited: bool,
    },
    /// Nothing, and nothing will follow.
    Ended,
}

impl FeedLog {
    pub(super) fn new(options: &FeedOptions) -> Self {
        Self {
            events_max: options.events_max.max(1),
            bytes_max: options.bytes_max,
            when_full: options.when_full,
            ready_set: ReadySet::default(),
            queue: Mutex::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.lock().frames.len()
    }

    /// Returns whether a frame may be appended now, without a wait.
    pub(super) fn room_for(&self, frame: &Frame) -> Room {
        if self.when_full != WhenFull::Wait {
            return Room::Available;
        }
        let mut queue = self.queue.lock();
        if queue.ended || self.has_room(&queue, frame) {
            return Room::Available;
        }
        queue.is_awaited = true;
        Room::Awaited
    }

    /// Appends a frame. [`notify`](Self::notify) must follow, without any lock.
    pub(super) fn append(&self, frame: &Frame) -> AppendToFeed {
        let mut queue = self.queue.lock();
        if queue.ended {
            return AppendToFeed::Ended;
        }
        if self.when_full == WhenFull::End && !self.has_room(&queue, frame) {
            queue.ended = true;
            return AppendToFeed::Overflowed;
        }
        queue.bytes += frame.bytes().len();
        queue.frames.push_back(frame.clone());
        if self.when_full == WhenFull::DropOldest {
            while queue.frames.len() > self.events_max || (queue.bytes > self.bytes_max && queue.frames.len() > 1) {
                let oldest = queue.frames.pop_front();
                queue.bytes -= oldest.map_or(0, |frame| frame.bytes().len());
                queue.missed += 1;
            }
        }
        AppendToFeed::Appended
    }

    /// Wakes the reader.
    pub(super) fn notify(&self) {
        self.ready_set.notify(0);
    }

    /// Ends the feed: nothing more is accepted, and the frames in it are still read.
    pub(super) fn end(&self) {
        self.queue.lock().ended = true;
        self.notify();
    }

    /// Drops the frames, because the reader is gone. Returns whether a publish waited for room.
    pub(super) fn abandon(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.ended = true;
        let frames = mem::take(&mut queue.frames);
        let is_awaited = mem::take(&mut queue.is_awaited);
        drop(queue);
        drop(frames);
        is_awaited
    }

    /// Passes the oldest frames to `take`, until it returns that it has enough.
    pub(super) fn read(&self, mut take: impl FnMut(Frame) -> bool) -> FeedRead {
        let mut queue = self.queue.lock();
        if queue.missed > 0 {
            return FeedRead::Missed(mem::take(&mut queue.missed));
        }
        if queue.frames.is_empty() && queue.ended {
            return FeedRead::Ended;
        }
        while let Some(frame) = queue.frames.pop_front() {
            queue.bytes -= frame.bytes().len();
            if take(frame) {
                break;
            }
        }
        // Most feeds are idle most of the time, and should not keep the memory of their last backlog.
        if queue.frames.is_empty() && queue.frames.capacity() > FRAMES_KEPT {
            queue.frames = VecDeque::new();
        }
        FeedRead::Frames { is_awaited: mem::take(&mut queue.is_awaited) }
    }

    /// Registers the waker. Returns whether the feed was notified since the last time.
    pub(super) fn register_and_take(&self, waker: &Waker) -> bool {
        self.ready_set.register_and_take(waker) != 0
    }

    /// Returns whether a frame fits. An empty log has room for a frame of any size.
    fn has_room(&self, queue: &Queue, frame: &Frame) -> bool {
        let bytes = queue.bytes.saturating_add(frame.bytes().len());
        queue.frames.is_empty() || (queue.frames.len() < self.events_max && bytes <= self.bytes_max)
    }
}

impl fmt::Debug for FeedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedLog")
            .field("events", &self.len())
            .field("when_full", &self.when_full)
            .finish_non_exhaustive()
    }
}
