//! The map of every channel of this node to its log.
//!
//! It is sharded by name, so that publishers of different channels rarely meet. A log is looked up under a shared lock and
//! used after that lock is released. A log that was evicted meanwhile says so, and the channel is looked up again.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::RwLock;

use super::{forgotten::ForgottenPositions, stats::Stats};
use crate::{
    Channel, Epoch, Error, Limits, Result,
    channel_log::{AppendOutcome, ChannelCounts, ChannelLog, Evicted, LogTotals},
    notify::Notify,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering},
};

/// The number of shards: enough that publishers on as many cores rarely wait for one another.
const SHARDS: usize = 64;

pub(super) type Shard = RwLock<HashMap<Channel, Arc<ChannelLog>>>;

#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[Shard]>,
    hasher: RandomState,
    pub(super) limits: Limits,
    pub(super) totals: Arc<LogTotals>,
    /// The positions of channels that are no longer in the map.
    pub(super) forgotten: ForgottenPositions,
    /// When the next scan for silent idle channels may begin, in milliseconds.
    pub(super) silent_scan_ms: AtomicU64,
    pub(super) channels: AtomicU64,
    /// The memory above which events are evicted. It exceeds the limit if unread events do, so that not every publish looks
    /// for events to evict when there are none.
    pub(super) memory_threshold: AtomicU64,
    /// The number of channels from which a new channel starts a scan for idle ones. A program that only publishes may never
    /// sweep, for want of a stream.
    pub(super) channels_threshold: AtomicU64,
    /// Held during an eviction, so that one thread evicts and the others continue.
    pub(super) eviction: Mutex<()>,
    /// The counts of channels that were forgotten.
    pub(super) forgotten_counts: Mutex<ChannelCounts>,
    /// Logs that lost their events to the limit of all logs.
    pub(super) evicted: AtomicU64,
    /// The hub is closed.
    closed: AtomicBool,
}

impl Registry {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            forgotten: ForgottenPositions::new(limits.idle_channels_max),
            memory_threshold: AtomicU64::new(limits.logs_bytes_max as u64),
            channels_threshold: AtomicU64::new(Self::next_channels_threshold(limits.idle_channels_max)),
            limits,
            totals: Arc::default(),
            silent_scan_ms: AtomicU64::new(0),
            channels: AtomicU64::new(0),
            eviction: Mutex::new(()),
            forgotten_counts: Mutex::default(),
            evicted: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the log of a channel, if the channel is known.
    pub(crate) fn find(&self, channel: &Channel) -> Option<Arc<ChannelLog>> {
        self.shard(channel).read().get(channel).cloned()
    }

    /// Returns the log of a channel, and creates it if the channel is unknown.
    pub(crate) fn find_or_add(&self, channel: &Channel, now: Duration) -> Arc<ChannelLog> {
        if let Some(log) = self.find(channel) {
            return log;
        }
        let log = {
            let mut shard = self.shard(channel).write();
            if let Some(log) = shard.get(channel) {
                return log.clone();
            }
            let initial = self.forgotten.take(channel);
            let log = Arc::new(ChannelLog::new(channel.clone(), now, initial, self.totals.clone()));
            // Read under the shard's lock: a closing that has passed this shard is seen, and one that has not will come.
            if self.closed.load(Ordering::SeqCst) {
                log.close();
            }
            shard.insert(channel.clone(), log.clone());
            log
        };
        let channels = self.channels.fetch_add(1, Ordering::Relaxed) + 1;
        if channels >= self.channels_threshold.load(Ordering::Relaxed) {
            self.forget_excess_idle();
        }
        log
    }

    /// Returns whether a channel of this node has the epoch.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.totals.has_epoch(epoch)
    }

    /// Checks that a channel may be read. An unknown channel counts towards a limit of its own, so that names which are
    /// only read cost other channels nothing.
    pub(crate) fn check_readable(&self, channel: &Channel, now: Duration) -> Result<()> {
        let most = self.limits.read_channels_max;
        if self.totals.silent() < most || self.find(channel).is_some() {
            return Ok(());
        }
        self.forget_silent(now);
        if self.totals.silent() < most {
            return Ok(());
        }
        Err(Error::full(format!("{most} channels without an event are read already: raise `read_channels_max`")))
    }

    /// Calls `act` with the log of a channel, again if the log was evicted meanwhile.
    pub(crate) fn with_log<T>(
        &self,
        channel: &Channel,
        now: Duration,
        mut act: impl FnMut(&Arc<ChannelLog>) -> Result<T, Evicted>,
    ) -> T {
        loop {
            // Bounded in practice: only an idle log is evicted, and this uses it.
            if let Ok(done) = act(&self.find_or_add(channel, now)) {
                return done;
            }
        }
    }

    /// Calls `act` with the log of a channel, and notifies the readers if it returns `true`.
    pub(crate) fn notify_if(
        &self,
        channel: &Channel,
        now: Duration,
        mut act: impl FnMut(&ChannelLog) -> Result<bool, Evicted>,
    ) {
        if let Some(log) = self.with_log(channel, now, |log| Ok(act(log)?.then(|| log.clone()))) {
            log.notify();
        }
    }

    /// Appends to the log of a channel with `append`, and makes room if all logs together take too much memory.
    pub(crate) fn append(
        &self,
        channel: &Channel,
        now: Duration,
        append: impl FnMut(&Arc<ChannelLog>) -> Result<AppendOutcome, Evicted>,
    ) -> AppendOutcome {
        let outcome = self.with_log(channel, now, append);
        if let AppendOutcome::Appended(appended) = &outcome
            && self.totals.memory() as u64 > self.memory_threshold.load(Ordering::Relaxed)
        {
            self.evict_events(now, Some(appended.log()));
        }
        outcome
    }

    /// Drops a channel's events and starts its log over; forgets the channel if it has no reader. Returns whether the
    /// channel was known.
    pub(crate) fn forget(&self, channel: &Channel) -> bool {
        let Some(log) = self.find(channel) else { return false };
        if log.start_over().is_err() {
            return false;
        }
        if !self.remove_if(&log, |_| true) {
            log.notify();
        }
        true
    }

    /// Forgets a channel whose log no broker keeps up to date any longer.
    pub(crate) fn forget_released(&self, channel: &Channel) {
        if let Some(log) = self.find(channel)
            && log.clear_if_released().is_ok()
        {
            self.remove_if(&log, |_| true);
        }
    }

    /// Returns up to `limit` names of channels after a name, in order.
    pub(crate) fn names(&self, after: Option<&str>, limit: usize) -> Vec<Channel> {
        let mut names = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            names.extend(shard.keys().filter(|name| after.is_none_or(|after| name.as_str() > after)).cloned());
        }
        if names.len() > limit {
            names.select_nth_unstable(limit);
            names.truncate(limit);
        }
        names.sort_unstable();
        names
    }

    /// Closes every log, and every log that is created later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for log in self.logs() {
            log.close();
        }
    }

    /// Notifies every reader, so that each checks whether the hub is closed.
    pub(crate) fn notify_all(&self) {
        for log in self.logs() {
            log.notify();
        }
    }

    /// Adds the sums over all channels.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        stats.logs_bytes = self.totals.memory() as u64;
        stats.logs_evicted = self.evicted.load(Ordering::Relaxed);
        let mut counts = *self.forgotten_counts.lock();
        for log in self.logs() {
            let Ok(state) = log.lock() else { continue };
            stats.channels += 1;
            stats.channel_readers += state.readers() as u64;
            stats.log_events += state.log.len() as u64;
            counts.add(&state.counts);
        }
        stats.published = counts.published;
        stats.delivered = counts.delivered;
        stats.delivered_bytes = counts.delivered_bytes;
    }

    pub(super) fn shard(&self, channel: &Channel) -> &Shard {
        &self.shards[self.hasher.hash_one(channel) as usize % SHARDS]
    }

    /// Returns every log, a shard at a time, without holding a lock while the caller looks at one.
    pub(super) fn logs(&self) -> impl Iterator<Item = Arc<ChannelLog>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>())
    }
}
