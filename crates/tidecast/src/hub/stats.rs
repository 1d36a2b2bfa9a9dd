//! What is counted.
//!
//! What happens per event is counted in the channel, under the lock that is held anyway; what happens per subscription
//! is counted here. Each number changes next to what it counts, so none drifts.

use super::registry::Totals;
use crate::{
    ResetReason, Result,
    broker::Published,
    sync::{AtomicU64, Ordering},
};

/// What has happened in a hub so far, and what there is now, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Events that were appended to logs.
    pub published: u64,
    /// Publishes that were answered from an idempotency key.
    pub repeated: u64,
    /// Publishes that failed.
    pub failed: u64,
    /// Events handed to subscriptions.
    pub delivered: u64,
    /// The bytes of their frames.
    pub delivered_bytes: u64,
    /// Resets told, because what was asked for had expired.
    pub resets_expired: u64,
    /// Resets told, because a log had started over.
    pub resets_restarted: u64,
    /// Resets told, because an id said nothing.
    pub resets_unknown_id: u64,
    /// Resets told, because a subscriber was too slow.
    pub resets_too_slow: u64,
    /// Resets told, because several events had the id that was asked for.
    pub resets_ambiguous_id: u64,
    /// Subscriptions refused, because [as many channels](crate::Limits::read_channels_max) were only read.
    pub subscribes_refused: u64,
    /// Subscriptions since the start.
    pub subscribed: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Channels known now.
    pub channels: u64,
    /// Channels that subscriptions read now, added up over the subscriptions.
    pub channel_readers: u64,
    /// Events in logs now.
    pub log_events: u64,
    /// Memory of the logs that have events, in bytes, with their overhead.
    pub logs_bytes: u64,
    /// Logs that lost their events to the bound of all logs.
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

    pub(crate) fn stats(&self, totals: &Totals) -> Stats {
        let resets = |reason| self.resets[reason as usize].load(Ordering::Relaxed);
        // In this order, so that nobody is counted as having left before they came.
        let left = self.left.load(Ordering::Relaxed);
        let joined = self.joined.load(Ordering::Relaxed);
        Stats {
            published: totals.counts.published,
            repeated: self.repeated.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            delivered: totals.counts.delivered,
            delivered_bytes: totals.counts.delivered_bytes,
            resets_expired: resets(ResetReason::Expired),
            resets_restarted: resets(ResetReason::Restarted),
            resets_unknown_id: resets(ResetReason::UnknownId),
            resets_too_slow: resets(ResetReason::TooSlow),
            resets_ambiguous_id: resets(ResetReason::AmbiguousId),
            subscribes_refused: self.subscribes_refused.load(Ordering::Relaxed),
            subscribed: joined,
            subscriptions: joined.saturating_sub(left),
            channels: totals.channels as u64,
            channel_readers: totals.readers as u64,
            log_events: totals.events as u64,
            logs_bytes: totals.memory as u64,
            logs_evicted: totals.evicted,
        }
    }
}
