//! What is published on a channel of Redis, and what is kept in its stream: an event as JSON, and the tail behind it.
//!
//! `payload` writes what we publish, `trailer` is the position behind it, `own` reads both back, and `foreign` reads what
//! others publish as Flask-SSE's subscribers would. None of them knows a connection, a key or a script. The broker
//! encodes by way of `scripts`; the listener decodes.

mod control;
mod foreign;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod native;
mod payload;
#[cfg(test)]
mod tests;
mod trailer;

use std::{borrow::Cow, str};

use tidecast::{Event, Limits, Position};

pub(crate) use self::{
    control::ControlPayload,
    native::decode_stored,
    payload::{Payload, stored, stored_id},
    trailer::lua_digits,
};

#[cfg(test)]
pub(crate) use self::trailer::written as written_trailer;

/// How many bytes of JSON stand for a byte of data at most (`\u0001`), and what comes on top of the data.
const JSON_BYTES_PER_BYTE: usize = 6;
const FRAME_OF_JSON_BYTES: usize = 64 * 1024;

/// What a payload turned out to be.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// An event that a Tidecast published.
    Native {
        /// Where it stands, if the channel's log in Redis has that epoch.
        position: Position,
        /// The event, or as much of it as was published.
        event: Event,
        /// Whether the history has more of it than was published.
        partial: bool,
    },
    /// An event that something else published.
    Foreign(Event),
    /// No event.
    Invalid(InvalidPayload),
}

/// Why a payload is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidPayload {
    /// For people, as a fragment: "the payload …".
    pub(crate) reason: Cow<'static, str>,
    /// What stands in its tail, if it has one: that position is passed, though this node can't say by what.
    pub(crate) position: Option<Position>,
}

/// Reads what came on a channel.
pub(crate) fn decode(payload: &[u8], limits: &Limits) -> Decoded {
    let (body, trailer) = trailer::split(payload);
    let decoded = checked(body, limits).and_then(|text| match trailer {
        Some(trailer) => native::decode(text).map(|event| Decoded::Native {
            position: trailer.position,
            event,
            partial: trailer.partial,
        }),
        None => foreign::decode(text, limits).map(Decoded::Foreign),
    });
    decoded.unwrap_or_else(|reason| {
        Decoded::Invalid(InvalidPayload { reason, position: trailer.map(|trailer| trailer.position) })
    })
}

type Reason = Cow<'static, str>;

/// What no parser needs to see to refuse.
fn checked<'a>(body: &'a [u8], limits: &Limits) -> Result<&'a str, Reason> {
    let bytes_max = limits.event_data_bytes_max.saturating_mul(JSON_BYTES_PER_BYTE).saturating_add(FRAME_OF_JSON_BYTES);
    if body.len() > bytes_max {
        return Err("is larger than any event may be".into());
    }
    str::from_utf8(body).map_err(|_| "is not UTF-8".into())
}

/// What to say of a text that is not of the shape it should have.
fn not_of_shape(text: &str, otherwise: &'static str) -> Reason {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() { otherwise.into() } else { "is not JSON".into() }
}
