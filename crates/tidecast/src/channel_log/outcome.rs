//! The outcome of appending an event.

use std::sync::Arc;

use super::ChannelLog;
use crate::{Position, notify::notify};

/// The outcome of appending an event to a channel's log. It is exhaustive, so that a broker handles every case.
#[derive(Debug)]
#[must_use = "dropping an appended event wakes the readers: release locks first"]
pub enum AppendOutcome {
    /// The event is in the log. Dropping this wakes the readers.
    Appended(Appended),
    /// The event was there before, or has left the log since.
    Duplicate,
    /// Another event is there at the same position. Only the broker's history can tell which one is genuine.
    Conflict,
    /// The event does not follow the log's newest one: events between are missing, its epoch is another, or the log is not
    /// open.
    Gap,
    /// The hub is closed or gone.
    Closed,
}

impl AppendOutcome {
    /// Returns the event if it was appended.
    #[must_use = "dropping an appended event wakes the readers: release locks first"]
    pub fn appended(self) -> Option<Appended> {
        if let Self::Appended(appended) = self { Some(appended) } else { None }
    }
}

/// An event that was appended.
///
/// Dropping it wakes the channel's readers, so that a broker can release its own locks first.
#[derive(Debug)]
#[must_use = "dropping it wakes the readers: release locks first"]
#[non_exhaustive]
pub struct Appended {
    /// The position of the event.
    pub position: Position,
    /// The number of subscriptions on this node that read the channel.
    pub receivers: usize,
    pub(super) log: Arc<ChannelLog>,
}

impl Appended {
    pub(crate) fn log(&self) -> &Arc<ChannelLog> {
        &self.log
    }
}

impl Drop for Appended {
    fn drop(&mut self) {
        notify(&self.log);
    }
}
