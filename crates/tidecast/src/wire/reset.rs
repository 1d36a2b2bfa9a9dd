//! The event `stream-reset`: events are missing, or may come again.

use bytes::{BufMut, Bytes, BytesMut};

use super::encode::{put_id_end, put_reserved_event};
use crate::{Channel, Cursor, Position, STREAM_RESET};

/// Events are missing, or may come again. A program that builds its state from events should fetch that state anew.
///
/// On the wire it is an event of type `stream-reset`. The stream then continues after `resumed_at`: with the oldest retained
/// event or, for an [ambiguous id](ResetReason::AmbiguousId), with the events after the oldest one that has the id. So events
/// that the client has already seen may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reset {
    /// The channel in which events are missing.
    pub channel: Channel,
    /// Why they are missing.
    pub reason: ResetReason,
    /// The position in this channel after which the subscription continues.
    pub resumed_at: Position,
    /// The cursor of the whole subscription after the reset.
    pub cursor: Cursor,
}

/// Why events may be missing, or may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetReason {
    /// The events that follow the requested position are no longer retained.
    Expired,
    /// The channel's log has started over since the requested position.
    Restarted,
    /// The requested id is unknown.
    UnknownId,
    /// The subscriber read more slowly than the log drops events.
    TooSlow,
    /// Several events have the requested id, so some may come again.
    AmbiguousId,
}

impl ResetReason {
    /// Returns the reason as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Restarted => "restarted",
            Self::UnknownId => "unknown-id",
            Self::TooSlow => "too-slow",
            Self::AmbiguousId => "ambiguous-id",
        }
    }
}

impl Reset {
    /// Returns the data of the event: `{"channel":"…","reason":"…","resumed_at":"…"}`.
    #[must_use]
    pub fn data(&self) -> String {
        let Self { channel, reason, resumed_at, .. } = self;
        let resumed_at = resumed_at.to_string();
        serde_json::json!({ "channel": channel.as_str(), "reason": reason.as_str(), "resumed_at": resumed_at })
            .to_string()
    }
}

/// Appends the frame of a reset.
pub(crate) fn put_reset_frame(out: &mut BytesMut, reset: &Reset) {
    put_reserved_event(out, STREAM_RESET, |out| out.put_slice(reset.data().as_bytes()));
    put_id_end(out, |out| out.put_slice(reset.cursor.to_string().as_bytes()));
}

/// Returns the frame of a reset without a position: the number of events that a publisher's subscriber missed.
pub(super) fn missed_frame(events: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    put_reserved_event(&mut out, STREAM_RESET, |out| {
        out.put_slice(b"{\"missed\":");
        out.put_slice(itoa::Buffer::new().format(events).as_bytes());
        out.put_slice(b",\"reason\":\"");
        out.put_slice(ResetReason::TooSlow.as_str().as_bytes());
        out.put_slice(b"\"}");
    });
    out.put_u8(b'\n');
    out.freeze()
}
