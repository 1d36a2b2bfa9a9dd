//! The format of events on Redis: JSON, which also goes into the stream, and behind it a trailer with the position.
//!
//! `payload` encodes an event, `trailer` its position, and `native` decodes both. `foreign` decodes what other programs
//! publish, as Flask-SSE's subscribers would. Nothing here knows connections, keys or scripts.

mod control_payload;
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
    control_payload::ControlPayload,
    native::decode_stored,
    payload::{Payload, stored, stored_id},
    trailer::lua_digits,
};

#[cfg(test)]
pub(crate) use self::trailer::written as written_trailer;

/// The most bytes of JSON for a byte of data (`\u0001`).
const JSON_BYTES_PER_BYTE: usize = 6;

/// The most bytes of JSON besides the data.
const JSON_OVERHEAD_BYTES: usize = 64 * 1024;

/// A decoded payload.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// An event published by a Tidecast hub.
    Native {
        /// Its position, if the channel in Redis has that epoch.
        position: Position,
        /// The event, or the part of it that was published.
        event: Event,
        /// Only the history has the whole event.
        partial: bool,
    },
    /// An event published by another program.
    Foreign(Event),
    Invalid(InvalidPayload),
}

/// Why a payload is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidPayload {
    /// The predicate of a sentence about the payload.
    pub(crate) reason: Cow<'static, str>,
    /// The position in its trailer, if it has one.
    pub(crate) position: Option<Position>,
}

/// Decodes a payload that was published on a channel.
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

/// Checks size and encoding, which needs no parser.
fn checked<'a>(body: &'a [u8], limits: &Limits) -> Result<&'a str, Reason> {
    let bytes_max = limits.event_data_bytes_max.saturating_mul(JSON_BYTES_PER_BYTE).saturating_add(JSON_OVERHEAD_BYTES);
    if body.len() > bytes_max {
        return Err("is larger than any event may be".into());
    }
    str::from_utf8(body).map_err(|_| "is not UTF-8".into())
}

/// Returns the reason for a text that has the wrong shape, or is not JSON.
fn not_of_shape(text: &str, otherwise: &'static str) -> Reason {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() { otherwise.into() } else { "is not JSON".into() }
}
