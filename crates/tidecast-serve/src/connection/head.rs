//! The deadlines of a request's head: how long a connection may be idle, and how long the head may take.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tidecast_axum::internals::LazyTimer;
use tokio::time::Instant;

/// How long to wait for a request's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadTimeouts {
    /// From the last response to the first byte.
    pub(crate) idle: Duration,
    /// From the first byte to the last.
    pub(crate) head: Duration,
}

/// How much of the next request's head has arrived.
#[derive(Debug, Default)]
pub(crate) struct HeadWatch {
    /// Whether some of it was read.
    begun: bool,
    /// Since when none of it has come. `None` until the first poll, so that a request which arrives whole costs no look at
    /// the clock.
    idle_since: Option<Instant>,
    /// Since when some of it is here. `None` until the first poll after that.
    begun_at: Option<Instant>,
    timer: LazyTimer,
}

impl HeadWatch {
    /// Creates the watch of a connection of which some bytes may have been read, the first of them at `begun_at`.
    pub(crate) fn new(begun: bool, begun_at: Option<Instant>) -> Self {
        Self { begun, begun_at, ..Self::default() }
    }

    /// Notes that some of the head was read.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// Waits for the head of the next request, `begun` if some of it was read already.
    pub(crate) fn restart(&mut self, begun: bool) {
        if !begun {
            self.begun = false;
            self.begun_at = None;
        }
        self.idle_since = None;
    }

    /// Waits until the head is overdue.
    pub(crate) fn poll_overdue(&mut self, context: &mut Context<'_>, timeouts: HeadTimeouts) -> Poll<()> {
        let now = Instant::now();
        let deadline = if self.begun {
            self.begun_at.get_or_insert(now).checked_add(timeouts.head)
        } else {
            self.idle_since.get_or_insert(now).checked_add(timeouts.idle)
        };
        self.timer.poll(context, deadline)
    }
}
