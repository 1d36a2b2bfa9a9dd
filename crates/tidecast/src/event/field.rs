//! The single-line fields of an event: its type, its id, and the key that makes a publish safe to repeat.
//!
//! They are parsed, not validated: whoever holds one holds text that can't break out of its line on the wire, so no
//! encoder checks again.

use std::fmt;

use crate::{
    Error, Result,
    limits::{EVENT_ID_BYTES_MAX, EVENT_TYPE_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX},
};

/// The type of the event that tells a page that events are missing.
pub const STREAM_RESET: &str = "stream-reset";

/// The type of the event that tells a page, if it asked for it, where its stream begins.
pub const STREAM_OPEN: &str = "stream-open";

/// An event's type: what a page passes to `addEventListener`.
///
/// UTF-8, 1 to 255 bytes, without control characters (U+0000–001F, U+007F–009F). `stream-reset` and `stream-open` are the
/// hub's own and are refused, also with spaces at either end, which some clients trim.
///
/// # Examples
///
/// ```
/// use tidecast::EventType;
///
/// assert_eq!(EventType::new("greeting")?.as_str(), "greeting");
/// assert!(EventType::new("a\ndata: forged").is_err());
/// assert!(EventType::new("stream-reset").is_err());
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventType(Box<str>);

impl EventType {
    /// Parses a type.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for an empty or reserved type, one of more than 255 bytes, and one with a control character.
    pub fn new(text: &str) -> Result<Self> {
        const WHAT: &str = "event type";
        check_length(WHAT, text, EVENT_TYPE_BYTES_MAX)?;
        check_characters(WHAT, text)?;
        let trimmed = text.trim();
        if matches!(trimmed, STREAM_RESET | STREAM_OPEN) {
            return Err(Error::invalid(WHAT, format!("`{trimmed}` is reserved for the hub")));
        }
        Ok(Self(text.into()))
    }

    /// The type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id that the publisher gives an event, in place of its position.
///
/// UTF-8, 1 to 255 bytes, without control characters (U+0000–001F, U+007F–009F) and without a space at either end: it
/// comes back as the header `Last-Event-ID`, which an HTTP parser would refuse or trim.
///
/// # Examples
///
/// ```
/// use tidecast::EventId;
///
/// assert_eq!(EventId::new("order 17")?.as_str(), "order 17");
/// assert!(EventId::new(" 17").is_err());
/// assert!(EventId::new("").is_err());
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventId(Box<str>);

impl EventId {
    /// Parses an id.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for an empty id, one of more than 255 bytes, one with a control character, and one that
    /// begins or ends with a space.
    pub fn new(text: &str) -> Result<Self> {
        const WHAT: &str = "event id";
        check_length(WHAT, text, EVENT_ID_BYTES_MAX)?;
        check_characters(WHAT, text)?;
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(Error::invalid(WHAT, "begins or ends with a space, which HTTP would trim"));
        }
        Ok(Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key under which a publisher may repeat a publish without doubling the event.
///
/// UTF-8, 1 to 255 bytes, any characters. It counts within its channel.
///
/// # Examples
///
/// ```
/// use tidecast::{Event, IdempotencyKey, Publication};
///
/// let key = IdempotencyKey::new("order-17-paid")?;
/// let publication = Publication::new("orders", Event::text("paid"))?.with_idempotency_key(key);
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Parses a key.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for an empty key and one of more than 255 bytes.
    pub fn new(text: &str) -> Result<Self> {
        check_length("idempotency key", text, IDEMPOTENCY_KEY_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(what, "is empty"));
    }
    if text.len() > bytes_max {
        let why = format!("is {} bytes long; at most {bytes_max} are allowed", text.len());
        return Err(Error::invalid(what, why));
    }
    Ok(())
}

/// Refuses control characters: C0, DEL and C1.
pub(super) fn check_characters(what: &'static str, text: &str) -> Result<()> {
    // Nearly all are of visible ASCII, which is quicker to see.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, _)) => Err(Error::invalid(what, format!("has a control character at byte {at}"))),
        None => Ok(()),
    }
}

macro_rules! text_field {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(&text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = Error;

            fn try_from(text: &String) -> Result<Self> {
                Self::new(text)
            }
        }
    };
}

text_field!(EventType);
text_field!(EventId);
text_field!(IdempotencyKey);
