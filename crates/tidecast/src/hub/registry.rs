//! Every channel of this node and its log, and the bounds of all of them together.
//!
//! Sharded by name, so that publishers of different channels seldom meet. A log is looked up under a shared lock and
//! used after that is let go of; one that was taken out meanwhile says so, and is looked up again.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::RwLock;

use super::forgotten::Forgotten;
use crate::{
    Channel, Epoch, Error, Limits, Position, Result,
    broker::AppendOutcome,
    channel_log::{AllLogs, Arrival, ChannelLog, Counts, Gone},
    limits::{MAKE_ROOM_BYTES_MIN, UNREAD_AGE_MAX},
    notify,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering},
    wire::EncodedEvent,
};

/// How many parts the map has: enough that publishers on as many cores seldom wait for one another.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<Channel, Arc<ChannelLog>>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[Shard]>,
    hasher: RandomState,
    limits: Limits,
    all: Arc<AllLogs>,
    /// Where the channels stood that are no longer here.
    forgotten: Forgotten,
    /// From when on idle channels that never had an event may be looked for again, in milliseconds.
    seek_silent_ms: AtomicU64,
    channels: AtomicU64,
    /// At this much memory room is made. More than the bound if events that may not have been read yet exceed it, so that
    /// not every publish looks for events to drop if there are none.
    full_at: AtomicU64,
    /// From this many channels on, a new one has the idle ones looked for at once: a program that only publishes may
    /// never sweep, for want of a stream.
    crowded_at: AtomicU64,
    /// Held by whoever makes room, so that one does and the others go on.
    making_room: Mutex<()>,
    /// The counts of channels that are forgotten.
    past: Mutex<Counts>,
    /// Logs that lost their events to the bound of all logs.
    evicted: AtomicU64,
    /// The hub is closed.
    sealed: AtomicBool,
}

/// An event that was appended.
///
/// Dropping it wakes the channel's readers, so that a broker can let go of its own locks first.
#[derive(Debug)]
#[must_use = "dropping it wakes the readers: let go of locks first"]
pub struct Appended {
    /// Where the event stands.
    pub position: Position,
    /// How many subscriptions of this node read the channel.
    pub receivers: usize,
    log: Arc<ChannelLog>,
}

impl Drop for Appended {
    fn drop(&mut self) {
        notify::ring(&self.log);
    }
}

/// What all channels amount to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) channels: usize,
    pub(crate) readers: usize,
    pub(crate) events: usize,
    pub(crate) memory: usize,
    pub(crate) evicted: u64,
    pub(crate) counts: Counts,
}

impl Registry {
    pub(crate) fn new(limits: Limits) -> Self {
        let full_at = limits.logs_bytes_max as u64;
        let crowded_at = AtomicU64::new(crowded_after(limits.idle_channels_max));
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            forgotten: Forgotten::new(limits.idle_channels_max),
            limits,
            all: Arc::default(),
            seek_silent_ms: AtomicU64::new(0),
            full_at: AtomicU64::new(full_at),
            channels: AtomicU64::new(0),
            crowded_at,
            making_room: Mutex::new(()),
            past: Mutex::default(),
            evicted: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The log of a channel, if the channel is known.
    pub(crate) fn find(&self, channel: &Channel) -> Option<Arc<ChannelLog>> {
        self.shard(channel).read().get(channel).cloned()
    }

    /// The log of a channel, made if it is not there.
    pub(crate) fn find_or_add(&self, channel: &Channel, now: Duration) -> Arc<ChannelLog> {
        if let Some(log) = self.find(channel) {
            return log;
        }
        let log = {
            let mut shard = self.shard(channel).write();
            if let Some(log) = shard.get(channel) {
                return log.clone();
            }
            let beginning = self.forgotten.take(channel);
            let log = Arc::new(ChannelLog::new(channel.clone(), now, beginning, self.all.clone()));
            // Read under the shard's lock: a sealing that has passed this shard is seen, and one that has not will come.
            if self.sealed.load(Ordering::SeqCst) {
                log.seal();
            }
            shard.insert(channel.clone(), log.clone());
            log
        };
        let channels = self.channels.fetch_add(1, Ordering::Relaxed) + 1;
        if channels >= self.crowded_at.load(Ordering::Relaxed) {
            self.forget_crowd();
        }
        log
    }

    /// Whether a channel has that epoch.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.all.has_epoch(epoch)
    }

    /// Checks that a channel may be read: one that is not here and has no event counts towards a bound of its own, so
    /// that names which are only read cost nobody else anything.
    pub(crate) fn check_readable(&self, channel: &Channel, now: Duration) -> Result<()> {
        let most = self.limits.read_channels_max;
        if self.all.silent() < most || self.find(channel).is_some() {
            return Ok(());
        }
        self.forget_silent(now);
        if self.all.silent() < most {
            return Ok(());
        }
        Err(Error::full(format!("{most} channels without an event are read already: raise `read_channels_max`")))
    }

    /// Forgets the channels that never had an event and that nobody reads, at most once a second: this looks at every
    /// channel.
    pub(super) fn forget_silent(&self, now: Duration) {
        let now_ms = now.as_millis() as u64;
        let Some(_alone) = self.making_room.try_lock() else { return };
        if now_ms < self.seek_silent_ms.load(Ordering::Relaxed) {
            return;
        }
        self.seek_silent_ms.store(now_ms + 1_000, Ordering::Relaxed);
        for log in self.logs() {
            let is_silent = log.lock().is_ok_and(|state| state.is_silent() && state.is_idle());
            if is_silent {
                self.remove_if(&log, |_| true);
            }
        }
    }

    /// Does something with the log of a channel, again if it was taken out of the map meanwhile.
    pub(crate) fn with_log<T>(
        &self,
        channel: &Channel,
        now: Duration,
        mut act: impl FnMut(&Arc<ChannelLog>) -> Result<T, Gone>,
    ) -> T {
        loop {
            // Bounded in practice: a log is taken out only when it has been idle, and this uses it.
            if let Ok(done) = act(&self.find_or_add(channel, now)) {
                return done;
            }
        }
    }

    /// Does something with the log of a channel, and rings where it says so.
    pub(crate) fn ring_if(
        &self,
        channel: &Channel,
        now: Duration,
        mut act: impl FnMut(&ChannelLog) -> Result<bool, Gone>,
    ) {
        if let Some(log) = self.with_log(channel, now, |log| Ok(act(log)?.then(|| log.clone()))) {
            log.ring();
        }
    }

    /// Appends an event to its channel's log at the position that the log draws; `None` once the logs are sealed.
    pub(crate) fn append(&self, channel: &Channel, event: &EncodedEvent<'_>, now: Duration) -> Option<Appended> {
        match self.put(channel, now, |log| log.append(now, event, &self.limits)) {
            AppendOutcome::Appended(appended) => Some(appended),
            AppendOutcome::Duplicate | AppendOutcome::Conflict | AppendOutcome::Gap | AppendOutcome::Closed => None,
        }
    }

    /// Appends an event at the position that a broker gave it.
    pub(crate) fn append_at(
        &self,
        channel: &Channel,
        position: Position,
        event: &EncodedEvent<'_>,
        now: Duration,
    ) -> AppendOutcome {
        self.put(channel, now, |log| log.append_at(now, position, event, &self.limits))
    }

    /// Appends an event that has no position.
    pub(crate) fn append_foreign(&self, channel: &Channel, event: &EncodedEvent<'_>, now: Duration) -> AppendOutcome {
        self.put(channel, now, |log| log.append_foreign(now, event, &self.limits))
    }

    fn put(
        &self,
        channel: &Channel,
        now: Duration,
        mut act: impl FnMut(&ChannelLog) -> Result<Arrival, Gone>,
    ) -> AppendOutcome {
        let (log, arrival) = self.with_log(channel, now, |log| Ok((log.clone(), act(log)?)));
        match arrival {
            Arrival::Appended { position, receivers } => {
                if self.memory() as u64 > self.full_at.load(Ordering::Relaxed) {
                    self.make_room(now, Some(&log));
                }
                AppendOutcome::Appended(Appended { position, receivers, log })
            }
            Arrival::Known => AppendOutcome::Duplicate,
            Arrival::Conflict => AppendOutcome::Conflict,
            Arrival::Elsewhere => AppendOutcome::Gap,
            Arrival::Sealed => AppendOutcome::Closed,
        }
    }

    /// Drops what a channel's log has and starts it over; if nobody reads it, forgets the channel. Returns whether the
    /// channel was known.
    pub(crate) fn forget(&self, channel: &Channel) -> bool {
        let Some(log) = self.find(channel) else { return false };
        if log.start_over().is_err() {
            return false;
        }
        if !self.remove_if(&log, |_| true) {
            log.ring();
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

    /// Ages every log, and forgets the channels that have been idle for long enough. Answers with the channels whose
    /// last reader has been gone for `release_after`.
    pub(crate) fn sweep(&self, now: Duration, release_after: Duration) -> Vec<Channel> {
        let mut released = Vec::new();
        let mut idle = Vec::new();
        for log in self.logs() {
            let Ok(swept) = log.sweep(now, &self.limits, release_after) else { continue };
            if swept.released {
                released.push(log.channel().clone());
            }
            match swept.idle_since {
                Some(since) if now.saturating_sub(since) >= self.limits.log_age_max => {
                    self.remove_if(&log, |since| now.saturating_sub(since) >= self.limits.log_age_max);
                }
                Some(since) => idle.push((since, log)),
                None => {}
            }
        }
        self.forget_longest_idle(idle);
        if self.memory() > self.limits.logs_bytes_max {
            // What may not have been read by then.
            self.make_room(now, None);
        } else {
            self.full_at.store(self.limits.logs_bytes_max as u64, Ordering::Relaxed);
        }
        released
    }

    /// Names of channels, in order, after one.
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

    /// Has no log append anything more, also none that is made later.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::SeqCst);
        for log in self.logs() {
            log.seal();
        }
    }

    /// Rings every bell, so that every reader looks whether the hub is closed.
    pub(crate) fn ring_all(&self) {
        for log in self.logs() {
            log.ring();
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals =
            Totals { memory: self.memory(), evicted: self.evicted.load(Ordering::Relaxed), ..Totals::default() };
        totals.counts.add(&self.past.lock());
        for log in self.logs() {
            let Ok(state) = log.lock() else { continue };
            totals.channels += 1;
            totals.readers += state.readers();
            totals.events += state.log.len();
            totals.counts.add(&state.counts);
        }
        totals
    }

    fn shard(&self, channel: &Channel) -> &Shard {
        &self.shards[self.hasher.hash_one(channel) as usize % SHARDS]
    }

    fn memory(&self) -> usize {
        self.all.memory()
    }

    /// Every log, a shard at a time, without holding a lock while the caller looks at one.
    fn logs(&self) -> impl Iterator<Item = Arc<ChannelLog>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>())
    }

    /// Takes a log out of the map, if it is idle and `may` says so of the time since when.
    pub(super) fn remove_if(&self, log: &ChannelLog, may: impl Fn(Duration) -> bool) -> bool {
        let mut shard = self.shard(log.channel()).write();
        let Ok(mut state) = log.lock() else { return false };
        if !state.is_idle() || !may(state.last_used()) {
            return false;
        }
        let (counts, stood) = log.set_gone(&mut state);
        drop(state);
        if let Some(position) = stood {
            self.forgotten.put(log.channel(), position);
        }
        shard.remove(log.channel());
        drop(shard);
        self.channels.fetch_sub(1, Ordering::Relaxed);
        self.past.lock().add(&counts);
        true
    }

    /// Keeps no more idle channels than allowed: those idle for longest go.
    fn forget_longest_idle(&self, mut idle: Vec<(Duration, Arc<ChannelLog>)>) {
        let too_many = idle.len().saturating_sub(self.limits.idle_channels_max);
        if too_many > 0 {
            idle.sort_unstable_by_key(|(since, _)| *since);
            for (since, log) in idle.drain(..too_many) {
                self.remove_if(&log, |now_since| now_since == since);
            }
        }
    }

    /// The same without waiting for a sweep. Looks at every channel, but only once in ten thousand new ones or more.
    fn forget_crowd(&self) {
        let Some(_alone) = self.making_room.try_lock() else { return };
        let idle = self.logs().filter_map(|log| {
            let state = log.lock().ok()?;
            let since = state.is_idle().then(|| state.last_used());
            drop(state);
            since.map(|since| (since, log))
        });
        self.forget_longest_idle(idle.collect());
        let left = self.channels.load(Ordering::Relaxed) as usize;
        self.crowded_at.store(crowded_after(left.max(self.limits.idle_channels_max)), Ordering::Relaxed);
    }

    /// Has the logs that were published to longest ago lose their events until a tenth of the bound is free, so that
    /// the next time is some while off: this looks at every channel. The log that was just appended to is spared, and so
    /// are events that readers may not have been given yet.
    fn make_room(&self, now: Duration, spared: Option<&Arc<ChannelLog>>) {
        let Some(_alone) = self.making_room.try_lock() else { return };
        let enough = self.limits.logs_bytes_max / 10 * 9;
        let mut logs: Vec<_> = self
            .logs()
            .filter(|log| spared.is_none_or(|spared| !Arc::ptr_eq(log, spared)))
            .filter_map(|log| {
                let state = log.lock().ok()?;
                let used = (state.log.len() > 0).then(|| state.log.appended_at());
                drop(state);
                used.map(|used| (used, log))
            })
            .collect();
        logs.sort_unstable_by_key(|(used, _)| *used);
        for (_, log) in logs {
            if self.memory() <= enough {
                break;
            }
            if log.evict(now.saturating_sub(UNREAD_AGE_MAX)).unwrap_or(false) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (left, most) = (self.memory(), self.limits.logs_bytes_max);
        let next = if left < most { most } else { left + (most / 10).max(MAKE_ROOM_BYTES_MIN) };
        self.full_at.store(next as u64, Ordering::Relaxed);
    }
}

/// At how many channels to look again for idle ones, when there are `channels`.
fn crowded_after(channels: usize) -> u64 {
    const NEW_MIN: usize = 10_000;
    (channels + (channels / 10).max(NEW_MIN)) as u64
}
