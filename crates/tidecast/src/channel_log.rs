//! The log of one channel with its readers: the one lock between a publisher and its subscribers.
//!
//! Under the lock, bytes are copied into the log or a reference to them is taken. Encoding comes before it, and waking
//! readers after it.

mod append;
mod groups;
mod head;
mod outcome;
mod read;
mod totals;

use std::{mem, sync::Arc, time::Duration};

use smallvec::SmallVec;

use self::totals::Contribution;
pub use self::{
    head::Head,
    outcome::{AppendOutcome, Appended},
};
pub(crate) use self::{
    read::{LogRead, NotLive, PositionMatch},
    totals::LogTotals,
};
use crate::{
    Channel, Limits, Position, ResetReason,
    log::{InitialPosition, Log},
    notify::{GroupEntry, Notify, ReadySet},
    sync::{Mutex, MutexGuard},
};

/// The approximate memory of one entry in the map of channels: a name, a reference, and unused space of the hash table.
const MAP_ENTRY_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct ChannelLog {
    channel: Channel,
    state: Mutex<LogState>,
    /// Where the log begins, if it assigns the positions itself.
    initial: InitialPosition,
    totals: Arc<LogTotals>,
}

/// The part of a channel's log that lies under its lock.
#[derive(Debug)]
pub(crate) struct LogState {
    pub(crate) log: Log,
    readers: Vec<Reader>,
    /// The readers that belong to a group: at most one entry for each reactor.
    groups: Vec<GroupEntry>,
    /// The hub is closed: nothing more is appended.
    closed: bool,
    /// The map no longer has this log. A holder must look the channel up again.
    evicted: bool,
    /// The broker delivers every event after the log's head. Until then new readers wait.
    live: bool,
    /// The position after which a reader that waited for the log to become live has missed nothing.
    live_after: Position,
    /// The reset that such a reader is told first, because events may be missing before that position.
    live_reset: Option<ResetReason>,
    /// A reader that waited did not start before the log was suspended again. When the log is next live, `live_after` does
    /// not move forward, or that reader would miss events.
    keeps_live_after: bool,
    /// How often the log has become live.
    openings: u32,
    /// Since when the first of the present readers has waited for the log to become live; `None` if no reader waits.
    waiting_since: Option<Duration>,
    /// The broker was told that the channel has readers here.
    subscribed: bool,
    /// The log assigns the positions, so that no broker listens to anything.
    is_authority: bool,
    /// When the last reader left, or the log was made.
    idle_since: Duration,
    contribution: Contribution,
    pub(crate) counts: ChannelCounts,
}

/// Counts of one channel. They are plain numbers under its lock, so that no two channels share a cache line for them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ChannelCounts {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
}

impl ChannelCounts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
    }
}

/// A subscription that reads the log.
#[derive(Debug, Clone)]
struct Reader {
    ready_set: Arc<ReadySet>,
    /// The index of the channel in the subscription.
    index: u32,
}

/// The log is no longer its channel's log.
#[derive(Debug)]
pub(crate) struct Evicted;

/// A reader that has joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    /// The broker must be told that the channel has a reader.
    pub(crate) is_first: bool,
    /// The sequence number of the next event.
    pub(crate) seq: u64,
}

/// The result of sweeping one log.
#[derive(Debug)]
pub(crate) struct SweepReport {
    /// The broker must be told that the channel has no reader any more.
    pub(crate) is_released: bool,
    /// Since when the log has been [idle](LogState::is_idle), if it is.
    pub(crate) idle_since: Option<Duration>,
}

impl ChannelLog {
    pub(crate) fn new(channel: Channel, now: Duration, initial: InitialPosition, totals: Arc<LogTotals>) -> Self {
        let log = Self { channel, state: Mutex::new(LogState::new(now)), initial, totals };
        log.update_totals(&mut log.state.lock());
        log
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, LogState>, Evicted> {
        let state = self.state.lock();
        if state.evicted { Err(Evicted) } else { Ok(state) }
    }

    /// Closes the log: nothing more is appended, and readers get what is in it.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Adds a reader, which is notified of every event from now on.
    pub(crate) fn join(&self, ready_set: &Arc<ReadySet>, index: u32) -> Result<Joined, Evicted> {
        let mut state = self.lock()?;
        state.readers.push(Reader { ready_set: ready_set.clone(), index });
        Ok(Joined { is_first: !mem::replace(&mut state.subscribed, true), seq: state.log.next_seq() })
    }

    /// Removes a reader.
    pub(crate) fn leave(&self, ready_set: &Arc<ReadySet>, index: u32, now: Duration) {
        let mut state = self.state.lock();
        state.remove(ready_set, index);
        state.note_last_reader(now);
    }

    /// Drops the events that are too old, and reports whether the log is still in use.
    pub(crate) fn sweep(
        &self,
        now: Duration,
        limits: &Limits,
        release_after: Duration,
    ) -> Result<SweepReport, Evicted> {
        let mut state = self.lock()?;
        state.log.sweep(now, limits);
        self.update_totals(&mut state);
        let is_released =
            state.subscribed && state.readers() == 0 && now.saturating_sub(state.idle_since) >= release_after;
        if is_released {
            state.subscribed = false;
        }
        Ok(SweepReport { is_released, idle_since: state.is_idle().then(|| state.last_used()) })
    }

    /// Marks the log as evicted. Only the map calls this, when it takes the log out.
    ///
    /// Returns the counts, and the channel's last position if its next log must continue there so that no position is given
    /// out twice. A log that began at a kept position gives it back even if it was never opened.
    pub(crate) fn evict(&self, state: &mut LogState) -> (ChannelCounts, Option<Position>) {
        state.evicted = true;
        state.log.clear();
        self.totals.update(&mut state.contribution, Contribution::default());
        let InitialPosition { position: began_at, is_kept, .. } = self.initial;
        let last = state.log.position().unwrap_or(began_at);
        (state.counts, Some(last).filter(|last| is_kept || state.is_authority && *last != began_at))
    }

    /// Updates this log's contribution to the totals.
    fn update_totals(&self, state: &mut LogState) {
        let log = &state.log;
        let overhead = size_of::<Self>() + 2 * self.channel.as_str().len() + MAP_ENTRY_BYTES;
        let now = Contribution {
            memory: if log.len() > 0 { overhead + log.memory() } else { 0 },
            is_silent: !log.had_events(),
            // Before their first event channels may share an epoch of the broker's.
            epoch: log.position().map(|at| at.epoch).filter(|_| state.is_authority || !log.awaits_epoch()),
        };
        self.totals.update(&mut state.contribution, now);
    }
}

impl Notify for ChannelLog {
    /// Notifies a few dozen readers at a time, so that the lock is short however many there are.
    ///
    /// It goes from the last reader to the first. A reader that leaves has its place taken by the last one, which has been
    /// notified already or is still to come.
    fn notify(&self) {
        // A model has few readers and must take several turns.
        const AT_ONCE: usize = if cfg!(tidecast_loom) { 1 } else { 32 };
        let mut batch = SmallVec::<[Reader; AT_ONCE]>::new();
        let mut groups = SmallVec::<[GroupEntry; 4]>::new();
        let mut end = usize::MAX;
        loop {
            {
                let state = self.state.lock();
                // Groups are taken once, at the first turn: a reader that is attached later reads the event by itself.
                if end == usize::MAX {
                    groups.extend(state.groups.iter().cloned());
                }
                end = end.min(state.readers.len());
                let begin = end.saturating_sub(AT_ONCE);
                batch.extend(state.readers[begin..end].iter().cloned());
                end = begin;
            }
            for reader in batch.drain(..) {
                reader.ready_set.notify(reader.index);
            }
            if end == 0 {
                break;
            }
        }
        for group in &groups {
            group.wake();
        }
    }
}

impl LogState {
    fn new(now: Duration) -> Self {
        Self {
            log: Log::default(),
            readers: Vec::new(),
            groups: Vec::new(),
            closed: false,
            evicted: false,
            live: false,
            live_after: Position::START,
            live_reset: None,
            keeps_live_after: false,
            openings: 0,
            waiting_since: None,
            subscribed: false,
            is_authority: false,
            idle_since: now,
            contribution: Contribution::default(),
            counts: ChannelCounts::default(),
        }
    }

    /// Returns the number of readers, alone and in groups.
    pub(crate) fn readers(&self) -> usize {
        self.readers.len() + self.groups.iter().map(|group| group.readers).sum::<usize>()
    }

    /// Records the time if the last reader has left.
    fn note_last_reader(&mut self, now: Duration) {
        if self.readers() == 0 {
            self.idle_since = now;
            self.waiting_since = None;
        }
    }

    fn remove(&mut self, ready_set: &Arc<ReadySet>, index: u32) {
        // A scan of one word per reader: 10,000 readers take some microseconds. It starts at the newest, because most
        // readers that leave have just come, on their way to a group.
        let is_it = |reader: &Reader| reader.index == index && Arc::ptr_eq(&reader.ready_set, ready_set);
        if let Some(at) = self.readers.iter().rposition(is_it) {
            self.readers.swap_remove(at);
        }
        if self.readers.is_empty() {
            self.readers = Vec::new();
        }
    }

    /// Returns whether the channel never had an event, as far as this node knows.
    pub(crate) fn is_silent(&self) -> bool {
        !self.log.had_events()
    }

    /// Returns whether the log has no reader and no event, and no broker listens to its channel. A broker that was not told
    /// of the release before the log goes would listen for ever.
    pub(crate) fn is_idle(&self) -> bool {
        self.readers() == 0 && self.log.len() == 0 && (self.is_authority || !self.subscribed)
    }

    /// Returns since when the log is idle, if it is.
    pub(crate) fn last_used(&self) -> Duration {
        self.idle_since.max(self.log.appended_at())
    }
}
