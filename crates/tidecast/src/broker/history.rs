//! The past events of a channel.

use std::borrow::Cow;

use super::publication::event_id;
use crate::{
    Event, Position,
    limits::{BACKFILL_BYTES_MAX, BACKFILL_EVENTS_MAX},
};

/// The limits of what one reader gets from a broker's history until its log can serve it. A reader that needs more is told
/// by a [`Reset`](crate::Reset).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillLimits {
    /// Most events. Default: [`BACKFILL_EVENTS_MAX`], 10,000.
    pub events_max: usize,
    /// Most bytes of frames; the page that exceeds it is the last. Default: [`BACKFILL_BYTES_MAX`], 8 MiB.
    pub bytes_max: usize,
}

impl BackfillLimits {
    /// Creates limits that differ from the default ones.
    #[must_use]
    pub fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { events_max, bytes_max }
    }
}

impl Default for BackfillLimits {
    fn default() -> Self {
        Self::new(BACKFILL_EVENTS_MAX, BACKFILL_BYTES_MAX)
    }
}

/// Where reading the history begins. It is exhaustive, so that a broker handles every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// After a position.
    After(Position),
    /// At the newest events.
    Newest,
}

/// Consecutive events of a channel's past.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct History {
    /// The events, oldest first.
    pub events: Vec<PastEvent>,
    /// Whether the events begin right after the requested position. `false` if older events were requested and are gone.
    pub complete: bool,
    /// The channel's newest position, if the broker reports it.
    ///
    /// A node that lags behind a client learns from it whether the client's position exists, even if the events after it
    /// are gone. Without it, `complete` stands for that.
    pub head: Option<Position>,
}

impl History {
    /// Creates a history from events, oldest first, and whether nothing before them is missing.
    #[must_use]
    pub fn new(events: Vec<PastEvent>, complete: bool) -> Self {
        Self { events, complete, head: None }
    }

    /// Sets the channel's newest position.
    #[must_use]
    pub fn with_head(mut self, head: Position) -> Self {
        self.head = Some(head);
        self
    }

    /// Returns whether the channel has reached a position.
    pub(crate) fn has_reached(&self, position: Position) -> bool {
        let is_past = |head: Position| head.epoch == position.epoch && head.offset >= position.offset;
        self.head.map_or(self.complete, is_past)
    }
}

/// An event with a publisher's own id, as [`Broker::find_id`](super::Broker::find_id) finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundId {
    /// The position of the oldest event with that id.
    pub position: Position,
    /// Whether another event has the id, or may have it because the search did not cover the whole history.
    pub is_repeated: bool,
}

impl FoundId {
    /// Creates a result from a position, and whether the id is or may be repeated.
    #[must_use]
    pub fn new(position: Position, is_repeated: bool) -> Self {
        Self { position, is_repeated }
    }
}

/// A past event at its position.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PastEvent {
    /// The position.
    pub position: Position,
    /// The event. From memory, its line ends are LF.
    pub event: Event,
}

impl PastEvent {
    /// Creates a past event.
    #[must_use]
    pub fn new(position: Position, event: Event) -> Self {
        Self { position, event }
    }

    /// Returns the event's id: its own, or its position as text.
    #[must_use]
    pub fn id(&self) -> String {
        event_id(&self.event, self.position)
    }

    /// Returns the event's type, or `message` if the publisher gave none.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.event.event_type().map_or("message", |event_type| event_type.as_str())
    }

    /// Returns the event's data as the string that an `EventSource` sees.
    #[must_use]
    pub fn data(&self) -> Cow<'_, str> {
        let data = self.event.data();
        if data.contains('\r') { data.replace("\r\n", "\n").replace('\r', "\n").into() } else { data.into() }
    }
}
