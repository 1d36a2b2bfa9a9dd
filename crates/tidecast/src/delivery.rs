//! What a subscriber is given: an event, or the word that events are missing.

use crate::{Channel, Cursor, Frame, Position};

/// What a subscriber is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event.
    Event(Delivered),
    /// Events are missing here.
    Reset(Reset),
}

/// An event, for one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The channel it was published to.
    pub channel: Channel,
    /// The event.
    pub frame: Frame,
    /// Where the subscription stands after it.
    pub cursor: Cursor,
}

/// Events are missing: whoever shows state made of events should fetch it anew.
///
/// On the wire it is an event of type `stream-reset`. What follows it begins with the oldest that is still there, so
/// events that were seen may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reset {
    /// The channel concerned.
    pub channel: Channel,
    /// Why.
    pub reason: ResetReason,
    /// Where in this channel the subscription goes on.
    pub resumed_at: Position,
    /// Where the whole subscription stands.
    pub cursor: Cursor,
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetReason {
    /// What follows the position that was asked for is no longer kept.
    Expired,
    /// The channel's log has started over since.
    Restarted,
    /// The id that was asked for says nothing here.
    UnknownId,
    /// The subscriber read more slowly than the log forgets.
    TooSlow,
}

impl ResetReason {
    /// The reason as the wire has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Restarted => "restarted",
            Self::UnknownId => "unknown-id",
            Self::TooSlow => "too-slow",
        }
    }
}
