//! The single-line fields of an event: its type, its id, and its idempotency key.
//!
//! Each is parsed on construction. A value can't break out of its line on the wire, so the encoder need not check again.

use crate::{
    Error, Result,
    limits::{EVENT_ID_BYTES_MAX, EVENT_TYPE_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX},
};

/// The type of the event that reports missing events.
pub const STREAM_RESET: &str = "stream-reset";

/// The type of the event that reports where a stream begins, if the client asked for it.
pub const STREAM_OPEN: &str = "stream-open";

/// The type of an event: the name that a page passes to `addEventListener`.
///
/// UTF-8, 1 to 255 bytes, without control characters (U+0000–001F, U+007F–009F). `stream-reset` and `stream-open` are
/// reserved for the hub, even with spaces at either end, which some clients trim.
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
    /// [`Error::is_invalid`] if it is empty, reserved, longer than 255 bytes, or has a control character.
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
}

/// An id that the publisher gives an event, instead of its position.
///
/// UTF-8, 1 to 255 bytes, without control characters (U+0000–001F, U+007F–009F) and without a space at either end. It
/// returns in the header `Last-Event-ID`, where HTTP parsers refuse control characters and trim spaces.
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
    /// [`Error::is_invalid`] if it is empty, longer than 255 bytes, has a control character, or begins or ends with a space.
    pub fn new(text: &str) -> Result<Self> {
        const WHAT: &str = "event id";
        check_length(WHAT, text, EVENT_ID_BYTES_MAX)?;
        check_characters(WHAT, text)?;
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(Error::invalid(WHAT, "begins or ends with a space, which HTTP would trim"));
        }
        Ok(Self(text.into()))
    }
}

/// A key under which a publisher may repeat a publish without publishing the event twice.
///
/// UTF-8, 1 to 255 bytes, any characters. Its scope is the channel.
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
    /// [`Error::is_invalid`] if it is empty or longer than 255 bytes.
    pub fn new(text: &str) -> Result<Self> {
        check_length("idempotency key", text, IDEMPOTENCY_KEY_BYTES_MAX)?;
        Ok(Self(text.into()))
    }
}

/// Checks that a text has 1 to `bytes_max` bytes.
pub(super) fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(what, "is empty"));
    }
    if text.len() > bytes_max {
        let why = format!("is {} bytes long; at most {bytes_max} are allowed", text.len());
        return Err(Error::invalid(what, why));
    }
    Ok(())
}

/// Checks that a text has no control character: C0, DEL or C1.
pub(super) fn check_characters(what: &'static str, text: &str) -> Result<()> {
    // Nearly all texts are visible ASCII, which is faster to check.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, _)) => Err(Error::invalid(what, format!("has a control character at byte {at}"))),
        None => Ok(()),
    }
}

/// Implements the conversions and the formatting of a parsed text.
macro_rules! text_field {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
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

pub(super) use text_field;

text_field!(EventType);
text_field!(EventId);
text_field!(IdempotencyKey);
