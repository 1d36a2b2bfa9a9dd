//! The counts of a hub.
//!
//! Events are counted in the channel, under the lock that is held anyway; subscriptions and publishes are counted here.
//! Each number changes next to the thing that it counts, so none drifts.

use crate::{
    ResetReason, Result,
    broker::Published,
    sync::{AtomicU64, Ordering},
};

/// Counts since the start of a hub, and the present numbers of channels, subscriptions and events, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Events appended to logs since the start.
    pub published: u64,
    /// Publishes answered from an idempotency key since the start.
    pub repeated: u64,
    /// Failed publishes since the start.
    pub failed: u64,
    /// Events given to subscriptions since the start.
    pub delivered: u64,
    /// Bytes of the frames of those events.
    pub delivered_bytes: u64,
    /// Resets since the start because the events after the requested position had expired.
    pub resets_expired: u64,
    /// Resets since the start because a log had started over.
    pub resets_restarted: u64,
    /// Resets since the start because the requested id was unknown.
    pub resets_unknown_id: u64,
    /// Resets since the start because a subscriber was too slow.
    pub resets_too_slow: u64,
    /// Resets since the start because several events had the requested id.
    pub resets_ambiguous_id: u64,
    /// Subscriptions refused since the start because of [`Limits::read_channels_max`](crate::Limits::read_channels_max).
    pub subscribes_refused: u64,
    /// Subscriptions made since the start.
    pub subscribed: u64,
    /// Present subscriptions.
    pub subscriptions: u64,
    /// Present channels.
    pub channels: u64,
    /// The channels of each present subscription, added up.
    pub channel_readers: u64,
    /// Events in logs.
    pub log_events: u64,
    /// Memory of the logs that have events, in bytes, with their overhead.
    pub logs_bytes: u64,
    /// Logs that lost their events to the limit of all logs since the start.
    pub logs_evicted: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    repeated: AtomicU64,
    failed: AtomicU64,
    resets: [AtomicU64; 5],
    subscribes_refused: AtomicU64,
    joined: AtomicU64,
    left: AtomicU64,
}

impl Counters {
    /// Counts the outcome of a publish, and returns it.
    pub(crate) fn count_published(&self, published: Result<Published>) -> Result<Published> {
        match &published {
            Ok(published) if published.repeated => self.repeated.fetch_add(1, Ordering::Relaxed),
            Ok(_) => 0,
            Err(_) => self.failed.fetch_add(1, Ordering::Relaxed),
        };
        published
    }

    pub(crate) fn count_reset(&self, reason: ResetReason) {
        self.resets[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.subscribes_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the counts of publishes, resets and subscriptions.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        let resets = |reason| self.resets[reason as usize].load(Ordering::Relaxed);
        // In this order, so that no subscription is counted as having left before it joined.
        let left = self.left.load(Ordering::Relaxed);
        let joined = self.joined.load(Ordering::Relaxed);
        stats.repeated = self.repeated.load(Ordering::Relaxed);
        stats.failed = self.failed.load(Ordering::Relaxed);
        stats.resets_expired = resets(ResetReason::Expired);
        stats.resets_restarted = resets(ResetReason::Restarted);
        stats.resets_unknown_id = resets(ResetReason::UnknownId);
        stats.resets_too_slow = resets(ResetReason::TooSlow);
        stats.resets_ambiguous_id = resets(ResetReason::AmbiguousId);
        stats.subscribes_refused = self.subscribes_refused.load(Ordering::Relaxed);
        stats.subscribed = joined;
        stats.subscriptions = joined.saturating_sub(left);
    }
}
