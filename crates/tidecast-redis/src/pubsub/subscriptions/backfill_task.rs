//! A channel to be backfilled, and the start of its waiting readers.

use tidecast::{Channel, Position, ResetReason};

use super::PubSubName;
use crate::backoff::Backoff;

/// The reason of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackfillCause {
    /// The channel was subscribed to, for the first time or again.
    Subscribed,
    /// The channel was live, and another node deleted it or its epoch grew old.
    Requested,
    /// The channel was live, and a message arrived that does not follow the log.
    OutOfOrder,
}

/// A channel to be backfilled, and what its rounds have found so far.
#[derive(Debug, Clone)]
pub(crate) struct BackfillTask {
    pub(crate) name: PubSubName,
    pub(crate) channel: Channel,
    pub(super) generation: u64,
    pub(crate) cause: BackfillCause,
    /// No reader depends on the log, so the newest events are enough.
    pub(crate) cold: bool,
    /// Reads the newest events, whatever the log has.
    pub(crate) from_newest: bool,
    /// The number of messages that were buffered before Redis was asked.
    pub(super) buffered_before: usize,
    /// The first offset at which the log may have another event than the history.
    pub(crate) verify_from: Option<u64>,
    /// The offset up to which buffered events were compared with the history.
    pub(super) verified_to: u64,
    /// When the channel last went live, its epoch was drawn by the server process that replied.
    pub(crate) was_current: bool,
    /// The same, by the latest reply.
    pub(crate) is_current: bool,
    /// The log need not reach the head: there is no history to read, and the missing events are on their way.
    pub(crate) may_lag: bool,
    /// The gap has been counted.
    pub(crate) counted: bool,
    /// A failure has been logged.
    pub(crate) logged: bool,
    /// The pause before the next attempt after a failure.
    pub(crate) backoff: Backoff,
}

impl BackfillTask {
    /// Returns whether the channel was live when the backfill began. Redis may then be ahead by events on their way.
    pub(crate) fn was_live(&self) -> bool {
        self.cause != BackfillCause::Subscribed
    }
}

/// The start of readers that waited for a channel to go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiveFrom {
    /// They read the events after this position.
    pub(crate) after: Position,
    /// The reset they are told first if events may be missing all the same.
    pub(crate) reset: Option<ResetReason>,
}

impl LiveFrom {
    /// Merges the results of two replies, of which `self` is the later: each may have events that the other has not.
    pub(super) fn merge(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let is_before = earlier.after.epoch == self.after.epoch && earlier.after.offset < self.after.offset;
        Self { after: if is_before { earlier.after } else { self.after }, reset: earlier.reset.or(self.reset) }
    }
}
