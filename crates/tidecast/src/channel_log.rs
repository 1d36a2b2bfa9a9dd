//! The log of one channel with those who read it: the one lock between a publisher and its subscribers.
//!
//! Under the lock bytes are put in place or a reference to them is taken; encoding comes before it, and waking after it.

use std::{mem, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    Channel, Epoch, Limits, Position,
    bell::Bell,
    delivery::ResetReason,
    frame::{Encoded, Frame},
    log::{FrameBounds, Located, Log},
    resume::LaneStart,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
};

/// What the map of channels takes for each, roughly: a name, a reference, and the room that a hash table leaves free.
const MAP_ENTRY_BYTES: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct ChannelLog {
    channel: Channel,
    state: Mutex<State>,
    /// The memory of all logs, which this one's is added to.
    memory: Arc<AtomicU64>,
}

/// What lies under the lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) log: Log,
    readers: Vec<Reader>,
    /// The hub is closed: nothing more is appended.
    sealed: bool,
    /// The map no longer has this log: whoever still holds it must ask the map again.
    gone: bool,
    /// The local number from which on a reader that waited for the opening has not missed anything.
    opened_at: u64,
    /// The broker was told that there are readers here.
    subscribed: bool,
    /// When the last reader left, or the log was made.
    idle_since: Duration,
    /// What this log's memory was when it was last added to that of all.
    accounted: usize,
    pub(crate) counts: Counts,
}

/// What happened in one channel. Plain numbers under its lock: no two channels share a cache line for them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
    }
}

/// A subscription that reads here.
#[derive(Clone)]
struct Reader {
    bell: Arc<Bell>,
    /// Which of the subscription's channels this is.
    lane: u32,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// The log is no longer the channel's.
#[derive(Debug)]
pub(crate) struct Gone;

/// Where a reader goes on, and why not where it wanted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The life of the log that the number is of.
    pub(crate) epoch: Epoch,
    pub(crate) next: u64,
    pub(crate) position: Position,
    pub(crate) reset: Option<ResetReason>,
}

/// What a sweep found.
#[derive(Debug)]
pub(crate) struct Swept {
    /// The broker is to be told that nobody reads the channel.
    pub(crate) released: bool,
    /// Since when nobody reads and nothing is kept, if so.
    pub(crate) idle_since: Option<Duration>,
}

/// What came of an attempt to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Frames that lie side by side.
    Frames { bytes: Bytes, count: u64 },
    /// There is nothing to read.
    CaughtUp,
    /// What is next is no longer here.
    Lost(ResetReason),
}

impl ChannelLog {
    pub(crate) fn new(channel: Channel, now: Duration, memory: Arc<AtomicU64>) -> Self {
        let state = State { idle_since: now, ..State::default() };
        let log = Self { channel, state: Mutex::new(state), memory };
        log.account(&mut log.state.lock());
        log
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, State>, Gone> {
        let state = self.state.lock();
        if state.gone { Err(Gone) } else { Ok(state) }
    }

    /// Opens the log if it is not: a first reader may wait for it.
    pub(crate) fn open(&self) -> Result<(), Gone> {
        let mut state = self.lock()?;
        if state.open() {
            drop(state);
            self.ring();
        }
        Ok(())
    }

    /// Appends an event, and tells its position and how many subscriptions read here; `None` once the log is sealed. Wakes
    /// nobody yet.
    pub(crate) fn append(
        &self,
        now: Duration,
        event: &Encoded<'_>,
        limits: &Limits,
    ) -> Result<Option<(Position, usize)>, Gone> {
        let mut state = self.lock()?;
        if state.sealed {
            return Ok(None);
        }
        state.open();
        state.counts.published += 1;
        let position = state.log.append(now, event, limits);
        self.account(&mut state);
        Ok(Some((position, state.readers.len())))
    }

    /// Tells every reader that there is something to read.
    ///
    /// A few dozen at a time, so that the lock is short however many there are. From the last to the first, because a
    /// reader that leaves has its place taken by the last one: that one has then been told already, or is still to come.
    pub(crate) fn ring(&self) {
        // A model of it has few readers, and is to take several turns.
        const AT_ONCE: usize = if cfg!(tidecast_loom) { 1 } else { 32 };
        let mut batch = smallvec::SmallVec::<[Reader; AT_ONCE]>::new();
        let mut end = usize::MAX;
        loop {
            {
                let state = self.state.lock();
                end = end.min(state.readers.len());
                let begin = end.saturating_sub(AT_ONCE);
                batch.extend(state.readers[begin..end].iter().cloned());
                end = begin;
            }
            for reader in batch.drain(..) {
                reader.bell.ring(reader.lane);
            }
            if end == 0 {
                break;
            }
        }
    }

    /// Appends nothing more from now on: what is here by now is all that readers are still to get.
    pub(crate) fn seal(&self) {
        self.state.lock().sealed = true;
    }

    /// Adds a reader; it hears of everything that is appended from now on. Tells whether the broker is to be told that
    /// the channel is read.
    pub(crate) fn join(&self, bell: &Arc<Bell>, lane: u32) -> Result<bool, Gone> {
        let mut state = self.lock()?;
        state.readers.push(Reader { bell: bell.clone(), lane });
        Ok(!mem::replace(&mut state.subscribed, true))
    }

    /// Removes a reader.
    pub(crate) fn leave(&self, bell: &Arc<Bell>, lane: u32, now: Duration) {
        let mut state = self.state.lock();
        // A look through all of them, but only at one word each: 10,000 readers take some microseconds.
        let here = state.readers.iter().position(|reader| reader.lane == lane && Arc::ptr_eq(&reader.bell, bell));
        if let Some(here) = here {
            state.readers.swap_remove(here);
        }
        if state.readers.is_empty() {
            state.readers = Vec::new();
            state.idle_since = now;
        }
    }

    /// Finds where a reader begins; `None` while the log is not open. One that `waited` was here before that, so
    /// everything since the opening is live to it.
    pub(crate) fn begin(&self, start: &LaneStart, waited: bool) -> Option<Begin> {
        let mut state = self.state.lock();
        let State { log, opened_at, .. } = &mut *state;
        if !log.is_open() {
            return None;
        }
        let live = if waited { *opened_at } else { log.head() };
        let (next, reset) = match start {
            LaneStart::Live | LaneStart::Last(_) if live < log.oldest() => (log.oldest(), Some(ResetReason::TooSlow)),
            LaneStart::Live => (live, None),
            LaneStart::Last(count) => (live.saturating_sub(*count as u64).max(log.oldest()), None),
            LaneStart::After { position, text } => {
                let located = log.locate(*position);
                // `0.0` is of no log in particular, so that an event which has it as its own id comes first.
                let may_be_own = located == Located::OtherEpoch || *position == Position::START;
                let own = text.as_deref().filter(|_| may_be_own).and_then(|text| log.locate_own_id(text));
                match (own, located) {
                    (Some(next), _) | (None, Located::At(next)) => (next, None),
                    (None, Located::Expired) => (log.oldest(), Some(ResetReason::Expired)),
                    (None, Located::Ahead) => (log.oldest(), Some(ResetReason::UnknownId)),
                    (None, Located::OtherEpoch) => (log.oldest(), Some(ResetReason::Restarted)),
                }
            }
            LaneStart::AfterOwnId(id) => match log.locate_own_id(id) {
                Some(next) => (next, None),
                None => (log.oldest(), Some(ResetReason::UnknownId)),
            },
            LaneStart::AfterUnknown => (log.oldest(), Some(ResetReason::UnknownId)),
        };
        let position = log.position_before(next);
        Some(Begin { epoch: position.epoch, next, position, reset })
    }

    /// Reads on from where a reader is: up to a number of bytes and of frames, but at least one frame.
    pub(crate) fn read(
        &self,
        epoch: Epoch,
        next: u64,
        bytes_max: usize,
        frames_max: usize,
        mut on_frame: impl FnMut(FrameBounds),
    ) -> Read {
        let mut state = self.state.lock();
        if !state.log.is_in(epoch) {
            return Read::Lost(ResetReason::Restarted);
        }
        if next < state.log.oldest() {
            return Read::Lost(ResetReason::TooSlow);
        }
        let mut count = 0;
        let bytes = state.log.read(next, bytes_max, frames_max, |frame| {
            count += 1;
            on_frame(frame);
        });
        if count == 0 {
            return Read::CaughtUp;
        }
        state.counts.delivered += count;
        state.counts.delivered_bytes += bytes.len() as u64;
        Read::Frames { bytes, count }
    }

    /// Reads what is here of the past, after a position or else the newest: at most `limit` frames, and whether nothing before them is missing.
    pub(crate) fn past(&self, after: Option<Position>, limit: usize) -> (Vec<(Position, Frame)>, bool) {
        let mut state = self.state.lock();
        let log = &mut state.log;
        let (mut from, complete) = match after {
            None => (log.newest(limit), true),
            Some(position) => match log.locate(position) {
                Located::At(from) => (from, true),
                Located::Expired | Located::OtherEpoch => (log.oldest(), false),
                Located::Ahead => (log.head(), false),
            },
        };
        let mut frames = Vec::new();
        while frames.len() < limit {
            let mut bounds = Vec::new();
            let mut bytes = log.read(from, usize::MAX, limit - frames.len(), |frame| bounds.push(frame));
            if bounds.is_empty() {
                break;
            }
            from += bounds.len() as u64;
            let split = |frame: FrameBounds| (frame.position, Frame::new(bytes.split_to(frame.len), frame.id_len));
            frames.extend(bounds.into_iter().map(split));
        }
        (frames, complete)
    }

    /// Drops the events and begins another life, in which offsets start over.
    pub(crate) fn start_over(&self) -> Result<(), Gone> {
        let mut state = self.lock()?;
        state.log.start_over(Epoch::random());
        self.account(&mut state);
        Ok(())
    }

    /// Drops the events and keeps the position.
    pub(crate) fn clear(&self) -> Result<(), Gone> {
        let mut state = self.lock()?;
        state.log.clear();
        self.account(&mut state);
        Ok(())
    }

    /// Drops what is too old, and looks who still needs the log.
    pub(crate) fn sweep(&self, now: Duration, limits: &Limits, release_after: Duration) -> Result<Swept, Gone> {
        let mut state = self.lock()?;
        state.log.sweep(now, limits);
        self.account(&mut state);
        let released =
            state.subscribed && state.readers.is_empty() && now.saturating_sub(state.idle_since) >= release_after;
        if released {
            state.subscribed = false;
        }
        let idle_since = state.is_idle().then(|| state.last_used());
        Ok(Swept { released, idle_since })
    }

    /// Marks the log as no longer the channel's. Only the map does this, when it takes the log out.
    pub(crate) fn set_gone(&self, state: &mut State) -> Counts {
        state.gone = true;
        state.log.clear();
        self.memory.fetch_sub(mem::take(&mut state.accounted) as u64, Ordering::Relaxed);
        state.counts
    }

    /// Adds what this log's memory has become to that of all.
    fn account(&self, state: &mut State) {
        let overhead = size_of::<Self>() + 2 * self.channel.as_str().len() + MAP_ENTRY_BYTES;
        let memory = overhead + state.log.memory();
        let before = mem::replace(&mut state.accounted, memory);
        // Wrapping addition of the difference: the sum of all is never below zero.
        self.memory.fetch_add((memory as u64).wrapping_sub(before as u64), Ordering::Relaxed);
    }

    /// Where a reader that lost its place goes on: with the oldest that is here.
    pub(crate) fn oldest(&self) -> Begin {
        let state = self.state.lock();
        let next = state.log.oldest();
        let position = state.log.position_before(next);
        Begin { epoch: position.epoch, next, position, reset: None }
    }
}

impl State {
    /// Opens the log if it is not; tells whether it was not.
    fn open(&mut self) -> bool {
        if self.log.is_open() {
            return false;
        }
        self.log.start_over(Epoch::random());
        self.opened_at = self.log.head();
        true
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Whether nobody reads and nothing is kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.readers.is_empty() && self.log.len() == 0
    }

    /// Since when it is idle, if it is.
    pub(crate) fn last_used(&self) -> Duration {
        self.idle_since.max(self.log.appended_at())
    }
}
