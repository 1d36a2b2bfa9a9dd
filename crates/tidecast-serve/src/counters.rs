//! The counts of connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of connections since the server started. They only grow.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ConnectionCounters {
    /// Connections that were accepted and got a slot.
    pub accepted: AtomicU64,
    /// Accepted connections that have ended.
    pub ended: AtomicU64,
    /// Streams that were moved to a reactor.
    pub detached: AtomicU64,
    /// Connections cut because the client took nothing for [`stall_timeout`](crate::ServeOptions::stall_timeout), or, after
    /// its stream's lifetime, nothing for [`EXPIRED_STALL_TIMEOUT`](crate::limits::EXPIRED_STALL_TIMEOUT) or not all within
    /// `stall_timeout`.
    pub stalled: AtomicU64,
    /// Connections closed, as the longest idle ones, to make room for others.
    pub closed_idle: AtomicU64,
    /// Connections closed at once because their client had
    /// [`connections_per_client_max`](crate::ServeOptions::connections_per_client_max) already.
    pub closed_client_full: AtomicU64,
    /// Connections cut because the client kept sending after its request for a stream.
    pub closed_input: AtomicU64,
}

impl ConnectionCounters {
    /// Returns how many connections are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        // Reads `ended` first, so that it never exceeds `accepted`.
        let ended = self.ended.load(Ordering::Relaxed);
        self.accepted.load(Ordering::Relaxed).saturating_sub(ended)
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
