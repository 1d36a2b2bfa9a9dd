//! Counts what happens between this node and Redis.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidecast::{Channel, Position};

/// A snapshot of [`RedisBroker`](crate::RedisBroker)'s counters and state. Counters begin at 0 with the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Whether all pub/sub connections are up, so that events published elsewhere arrive.
    pub connected: bool,
    /// Pub/sub connections that were made again after one was lost.
    pub reconnects: u64,
    /// Backfills of a channel's log that found missed events.
    pub gaps_filled: u64,
    /// Events that arrived without a position, as Flask-SSE publishes them.
    pub foreign: u64,
    /// Payloads that could not be decoded, and were skipped.
    pub poison: u64,
    /// Skipped events of another database or key prefix. Redis' pub/sub does not keep these apart.
    pub elsewhere: u64,
    /// Events that arrived at a position at which the history or the log has another event, because another program
    /// published it there.
    pub conflicting: u64,
    /// Events that arrived during a backfill and found the buffer full. Foreign events among them are lost.
    pub overflowed: u64,
    /// Events that Redis accepted from this node.
    pub published: u64,
    /// Publishes that Redis rejected or did not answer.
    pub publish_failures: u64,
    /// Background tasks that ended, and were restarted.
    pub task_restarts: u64,
    /// Channels that this node is subscribed to.
    pub subscribed_channels: u64,
}

/// The counters behind [`RedisStats`], and what was logged recently.
#[derive(Debug, Default)]
pub(crate) struct RedisCounters {
    pub(crate) reconnects: AtomicU64,
    pub(crate) gaps_filled: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) poison: AtomicU64,
    pub(crate) elsewhere: AtomicU64,
    pub(crate) overflowed: AtomicU64,
    pub(crate) conflicting: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) publish_failures: AtomicU64,
    pub(crate) task_restarts: AtomicU64,
    invalid_logged: AtomicBool,
    forbidden_logged: AtomicBool,
    conflict_logged: AtomicBool,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl RedisCounters {
    /// Counts an invalid payload. Returns whether to log it: the first since [`log_again`](Self::log_again), so that a
    /// faulty publisher does not flood the log.
    pub(crate) fn count_invalid(&self) -> bool {
        count(&self.poison);
        !self.invalid_logged.swap(true, Ordering::Relaxed)
    }

    /// Returns whether to log that a channel must not be subscribed to: as rarely, because any client can name one.
    pub(crate) fn may_log_forbidden(&self) -> bool {
        !self.forbidden_logged.swap(true, Ordering::Relaxed)
    }

    /// Counts an event that differs from the one at its position, and logs the first since [`log_again`](Self::log_again).
    pub(crate) fn count_conflict(&self, channel: &Channel, position: Position) {
        count(&self.conflicting);
        if !self.conflict_logged.swap(true, Ordering::Relaxed) {
            let channel = channel.as_str();
            tracing::warn!(channel, %position, "redis: two events claim the same position; the history decides");
        }
    }

    /// Allows the next line of each kind to be logged. Called every few seconds.
    pub(crate) fn log_again(&self) {
        self.invalid_logged.store(false, Ordering::Relaxed);
        self.forbidden_logged.store(false, Ordering::Relaxed);
        self.conflict_logged.store(false, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self, connected: bool, subscribed_channels: usize) -> RedisStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RedisStats {
            connected,
            reconnects: load(&self.reconnects),
            gaps_filled: load(&self.gaps_filled),
            foreign: load(&self.foreign),
            poison: load(&self.poison),
            elsewhere: load(&self.elsewhere),
            overflowed: load(&self.overflowed),
            conflicting: load(&self.conflicting),
            published: load(&self.published),
            publish_failures: load(&self.publish_failures),
            task_restarts: load(&self.task_restarts),
            subscribed_channels: subscribed_channels as u64,
        }
    }
}
