//! The limits of all channels together: which events are dropped, and which channels are forgotten.

use std::{sync::Arc, time::Duration};

use super::registry::Registry;
use crate::{
    Channel,
    channel_log::ChannelLog,
    limits::{EVICTION_BYTES_MIN, UNREAD_AGE_MAX},
    sync::Ordering,
};

impl Registry {
    /// Drops the events that are too old, and forgets the channels that have been idle for as long. Returns the channels
    /// whose last reader has been gone for `release_after`.
    pub(crate) fn sweep(&self, now: Duration, release_after: Duration) -> Vec<Channel> {
        let mut released = Vec::new();
        let mut idle = Vec::new();
        for log in self.logs() {
            let Ok(swept) = log.sweep(now, &self.limits, release_after) else { continue };
            if swept.is_released {
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
        if self.totals.memory() > self.limits.logs_bytes_max {
            // These events may not have been read when they were published.
            self.evict_events(now, None);
        } else {
            self.memory_threshold.store(self.limits.logs_bytes_max as u64, Ordering::Relaxed);
        }
        released
    }

    /// Forgets the channels without any event and without a reader. It scans every channel, at most once a second.
    pub(super) fn forget_silent(&self, now: Duration) {
        let now_ms = now.as_millis() as u64;
        let Some(_alone) = self.eviction.try_lock() else { return };
        if now_ms < self.silent_scan_ms.load(Ordering::Relaxed) {
            return;
        }
        self.silent_scan_ms.store(now_ms + 1_000, Ordering::Relaxed);
        for log in self.logs() {
            let is_silent = log.lock().is_ok_and(|state| state.is_silent() && state.is_idle());
            if is_silent {
                self.remove_if(&log, |_| true);
            }
        }
    }

    /// Forgets the excess of idle channels without waiting for a sweep. It scans every channel, but only once in 10,000 new
    /// ones or more.
    pub(super) fn forget_excess_idle(&self) {
        let Some(_alone) = self.eviction.try_lock() else { return };
        let idle = self.logs().filter_map(|log| {
            let state = log.lock().ok()?;
            let since = state.is_idle().then(|| state.last_used());
            drop(state);
            since.map(|since| (since, log))
        });
        self.forget_longest_idle(idle.collect());
        let left = self.channels.load(Ordering::Relaxed) as usize;
        let threshold = Self::next_channels_threshold(left.max(self.limits.idle_channels_max));
        self.channels_threshold.store(threshold, Ordering::Relaxed);
    }

    /// Forgets the channels that have been idle for longest, until no more are idle than allowed.
    fn forget_longest_idle(&self, mut idle: Vec<(Duration, Arc<ChannelLog>)>) {
        let excess = idle.len().saturating_sub(self.limits.idle_channels_max);
        if excess > 0 {
            idle.sort_unstable_by_key(|(since, _)| *since);
            for (since, log) in idle.drain(..excess) {
                self.remove_if(&log, |now_since| now_since == since);
            }
        }
    }

    /// Removes a log from the map, if it is idle and `may` accepts the time since when. Returns whether it was removed.
    pub(super) fn remove_if(&self, log: &ChannelLog, may: impl Fn(Duration) -> bool) -> bool {
        let mut shard = self.shard(log.channel()).write();
        let Ok(mut state) = log.lock() else { return false };
        if !state.is_idle() || !may(state.last_used()) {
            return false;
        }
        let (counts, last) = log.evict(&mut state);
        drop(state);
        if let Some(position) = last {
            self.forgotten.put(log.channel(), position);
        }
        shard.remove(log.channel());
        drop(shard);
        self.channels.fetch_sub(1, Ordering::Relaxed);
        self.forgotten_counts.lock().add(&counts);
        true
    }

    /// Drops the events of the logs that were published to longest ago, until a tenth of the limit is free. It scans every
    /// channel, so the next time should be a while off.
    ///
    /// The events of the `spared` log stay, and so do those that readers may not have been given yet.
    pub(super) fn evict_events(&self, now: Duration, spared: Option<&Arc<ChannelLog>>) {
        let Some(_alone) = self.eviction.try_lock() else { return };
        let limit = self.limits.logs_bytes_max;
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
            if self.totals.memory() <= limit / 10 * 9 {
                break;
            }
            if log.drop_events(now.saturating_sub(UNREAD_AGE_MAX)).unwrap_or(false) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
        let left = self.totals.memory();
        let threshold = if left < limit { limit } else { left + (limit / 10).max(EVICTION_BYTES_MIN) };
        self.memory_threshold.store(threshold as u64, Ordering::Relaxed);
    }

    /// Returns the number of channels at which to scan for idle ones again, given the present number.
    pub(super) fn next_channels_threshold(channels: usize) -> u64 {
        const NEW_MIN: usize = 10_000;
        (channels + (channels / 10).max(NEW_MIN)) as u64
    }
}
