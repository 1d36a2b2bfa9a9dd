//! What waits for one subscriber to read it: frames, most of them shared with others, in bounds.
//!
//! One who publishes puts in at a time, one reads. Neither encodes, wakes or waits under the lock; who puts in rings after
//! it, as the bell says.

use std::{collections::VecDeque, fmt, task::Waker};

use super::{FeedOptions, WhenFull};
use crate::{Frame, notify::ReadySet, sync::Mutex};

/// How many frames an emptied log keeps room for.
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
    /// How many were dropped before the oldest, and not yet told of.
    missed: u64,
    /// Whether one who publishes has found no room, and waits for the next reading.
    awaited: bool,
    /// Nothing more comes in.
    ended: bool,
}

/// What came of putting in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is in.
    In,
    /// Nobody takes it any more.
    Ended,
    /// This one was too much: nobody takes any more.
    Overflowed,
}

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many events were dropped, which is to be told before what follows.
    Missed(u64),
    /// All that there is, or as much as was wanted.
    Frames {
        /// Whether one who publishes waits for the room.
        awaited: bool,
    },
    /// Nothing, ever again.
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

    /// Whether a frame may be put in now. If not, the next reading says that it is awaited.
    pub(super) fn is_ready_for(&self, frame: &Frame) -> bool {
        if self.when_full != WhenFull::Wait {
            return true;
        }
        let mut queue = self.queue.lock();
        let ready = queue.ended || self.has_room(&queue, frame);
        queue.awaited |= !ready;
        ready
    }

    /// Puts in a frame; [`ring`](Self::ring) is to follow, without any lock.
    pub(super) fn put(&self, frame: &Frame) -> Put {
        let mut queue = self.queue.lock();
        if queue.ended {
            return Put::Ended;
        }
        if self.when_full == WhenFull::End && !self.has_room(&queue, frame) {
            queue.ended = true;
            return Put::Overflowed;
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
        Put::In
    }

    pub(super) fn ring(&self) {
        self.ready_set.notify(0);
    }

    /// Lets nothing more in. What is in is still read.
    pub(super) fn end(&self) {
        self.queue.lock().ended = true;
        self.ring();
    }

    /// Nobody reads any more. Tells whether one who publishes waited for room.
    pub(super) fn abandon(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.ended = true;
        let frames = std::mem::take(&mut queue.frames);
        let awaited = std::mem::take(&mut queue.awaited);
        drop(queue);
        drop(frames);
        awaited
    }

    /// Gives the oldest frames to `give`, until it has enough.
    pub(super) fn take(&self, mut give: impl FnMut(Frame) -> bool) -> Taken {
        let mut queue = self.queue.lock();
        if queue.missed > 0 {
            return Taken::Missed(std::mem::take(&mut queue.missed));
        }
        if queue.frames.is_empty() && queue.ended {
            return Taken::Ended;
        }
        while let Some(frame) = queue.frames.pop_front() {
            queue.bytes -= frame.bytes().len();
            if give(frame) {
                break;
            }
        }
        // Most feeds wait for most of their time: none keeps the memory of its last backlog.
        if queue.frames.is_empty() && queue.frames.capacity() > FRAMES_KEPT {
            queue.frames = VecDeque::new();
        }
        Taken::Frames { awaited: std::mem::take(&mut queue.awaited) }
    }

    /// Names who is to be woken; tells whether something has happened since the last time.
    pub(super) fn has_rung(&self, waker: &Waker) -> bool {
        self.ready_set.register_and_take(waker) != 0
    }

    /// An empty log has room for a frame of any size.
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
