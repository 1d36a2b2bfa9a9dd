//! What happened between this node and Redis: plain counters, read at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidecast::{Channel, Position};

/// What happened so far, and how things stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Whether every listening connection stands, so that what is published elsewhere arrives.
    pub connected: bool,
    /// How often a listening connection was lost and made again.
    pub reconnects: u64,
    /// How often a channel's log was filled from the history because events had been missed.
    pub gaps_filled: u64,
    /// Events that arrived without a position, as Flask-SSE publishes them.
    pub foreign: u64,
    /// Payloads that were no events, and were skipped.
    pub poison: u64,
    /// Events of another database or key prefix, which pub/sub does not keep apart, and were skipped.
    pub elsewhere: u64,
    /// Events that arrived at a position at which the history, or the log, has another one: someone else published there.
    pub conflicting: u64,
    /// Events that arrived while a channel was being filled and could not be held back: foreign ones among them are lost.
    pub overflowed: u64,
    /// Events that Redis accepted from this node.
    pub published: u64,
    /// Publishes that Redis did not answer, or refused.
    pub publish_failures: u64,
    /// How often a task of the broker's that should run for ever ended, and was started again.
    pub task_restarts: u64,
    /// Channels that this node listens to.
    pub subscribed_channels: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
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
    poison_told: AtomicBool,
    refusal_told: AtomicBool,
    conflict_told: AtomicBool,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// Counts a payload that is no event. Tells whether to log it: the first since [`tell_again`](Self::tell_again), so
    /// that a publisher gone wrong does not fill the log.
    pub(crate) fn count_poison(&self) -> bool {
        count(&self.poison);
        !self.poison_told.swap(true, Ordering::Relaxed)
    }

    /// Tells whether to log that a channel may not be listened to. As rarely, as anybody may name one.
    pub(crate) fn may_tell_refusal(&self) -> bool {
        !self.refusal_told.swap(true, Ordering::Relaxed)
    }

    /// Counts an event that is another than the one at its position, and logs it if none was of late.
    pub(crate) fn count_conflict(&self, channel: &Channel, position: Position) {
        count(&self.conflicting);
        if !self.conflict_told.swap(true, Ordering::Relaxed) {
            let channel = channel.as_str();
            tracing::warn!(channel, %position, "redis: an event was published under the position of another; the history decides");
        }
    }

    /// Lets the next of each be logged. Called every few seconds.
    pub(crate) fn tell_again(&self) {
        self.poison_told.store(false, Ordering::Relaxed);
        self.refusal_told.store(false, Ordering::Relaxed);
        self.conflict_told.store(false, Ordering::Relaxed);
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
