//! Events, and the names and fields that publishers choose.

mod channel;
mod field;
mod json;

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

pub use self::{
    channel::Channel,
    field::{EventId, EventType, IdempotencyKey, STREAM_OPEN, STREAM_RESET},
};
use crate::{Error, Result, limits::RETRY_MAX};

/// An event: data, and optionally a type, an id and a reconnection time.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use tidecast::Event;
///
/// let greeting = Event::json(&json!({"message": "Hello!"}))?.with_type("greeting")?;
/// assert_eq!(greeting.data(), r#"{"message":"Hello!"}"#);
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Event {
    data: Data,
    event_type: Option<EventType>,
    id: Option<EventId>,
    retry: Option<Duration>,
}

/// Text and JSON are kept apart, because a broker that stores events as JSON must return a string as a string, and a value
/// as the bytes it came in.
#[derive(Debug, Clone)]
enum Data {
    Text(String),
    Json(Box<RawValue>),
}

impl Event {
    /// Creates an event whose data is text.
    ///
    /// The text may be empty and may have any characters. `\r\n`, `\r` and `\n` each end a line, and arrive as `\n`.
    #[must_use]
    pub fn text(data: impl Into<String>) -> Self {
        Self::new(Data::Text(data.into()))
    }

    /// Creates an event whose data is a value as JSON.
    ///
    /// A string is written as a JSON string, with its quotes. [`Event::text`] sends it as it is.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if the value can't be written as JSON, such as a map whose keys are not strings.
    pub fn json(data: &(impl Serialize + ?Sized)) -> Result<Self> {
        let raw = serde_json::value::to_raw_value(data)
            .map_err(|source| Error::invalid("event data", "can't be written as JSON").with_source(source))?;
        Ok(Self::new(Data::Json(raw)))
    }

    /// Creates an event whose data is JSON text. It is sent byte for byte: numbers, key order and white space are kept.
    ///
    /// Publishing refuses JSON that is nested deeper than [`JSON_DEPTH_MAX`](crate::limits::JSON_DEPTH_MAX), and numbers of
    /// more digits than [`JSON_NUMBER_DIGITS_MAX`](crate::limits::JSON_NUMBER_DIGITS_MAX).
    #[must_use]
    pub fn raw_json(data: Box<RawValue>) -> Self {
        Self::new(Data::Json(data))
    }

    /// Creates an event from the valid parts of another. Only the data of `data` is used.
    pub(crate) fn from_parts(
        data: Self,
        event_type: Option<EventType>,
        id: Option<EventId>,
        retry: Option<Duration>,
    ) -> Self {
        Self { data: data.data, event_type, id, retry }
    }

    fn new(data: Data) -> Self {
        Self { data, event_type: None, id: None, retry: None }
    }

    /// Sets the type. An event without a type arrives as `message`.
    ///
    /// # Errors
    ///
    /// Those of [`EventType::new`].
    pub fn with_type<T>(mut self, event_type: T) -> Result<Self>
    where
        T: TryInto<EventType>,
        Error: From<T::Error>,
    {
        self.event_type = Some(event_type.try_into()?);
        Ok(self)
    }

    /// Sets the event's own id. An event without one has its position as its id.
    ///
    /// # Errors
    ///
    /// Those of [`EventId::new`].
    pub fn with_id<T>(mut self, id: T) -> Result<Self>
    where
        T: TryInto<EventId>,
        Error: From<T::Error>,
    {
        self.id = Some(id.try_into()?);
        Ok(self)
    }

    /// Sets how long the browser waits before it reconnects, in whole milliseconds. Zero reconnects at once.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if it is longer than a day.
    pub fn with_retry(mut self, retry: Duration) -> Result<Self> {
        if retry > RETRY_MAX {
            let why = format!("is {} ms; at most {} are allowed", retry.as_millis(), RETRY_MAX.as_millis());
            return Err(Error::invalid("retry", why));
        }
        self.retry = Some(retry);
        Ok(self)
    }

    /// Checks that readers can load the data, if it is JSON.
    pub(crate) fn check_json(&self) -> Result<()> {
        self.data_json().map_or(Ok(()), |raw| json::check(raw.get()))
    }

    /// Returns the data as an `EventSource` sees it, but with its original line ends: text as it is, a value as JSON text.
    #[must_use]
    pub fn data(&self) -> &str {
        match &self.data {
            Data::Text(text) => text,
            Data::Json(raw) => raw.get(),
        }
    }

    /// Returns the data as JSON text if it was given as a value, or `None` if it was given as text.
    #[must_use]
    pub fn data_json(&self) -> Option<&RawValue> {
        match &self.data {
            Data::Text(_) => None,
            Data::Json(raw) => Some(raw),
        }
    }

    /// Returns the type, if the event has one.
    #[must_use]
    pub fn event_type(&self) -> Option<&EventType> {
        self.event_type.as_ref()
    }

    /// Returns the id that the publisher gave the event, if any.
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Returns the reconnection time, if the event has one.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Returns a digest of the whole event.
    ///
    /// A broker that keeps it with an idempotency key can tell a repetition from another event under the same key. The
    /// digest is the same in every version. It does not protect against forgery.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let retry_ms = self.retry.map(|retry| retry.as_millis().to_string());
        let parts = [
            Some(self.data()),
            self.event_type().map(EventType::as_str),
            self.id().map(EventId::as_str),
            retry_ms.as_deref(),
        ];
        // FNV-1a. Each part is followed by a byte that UTF-8 never has, and by another such byte if it is absent.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        parts.into_iter().fold(0xcbf2_9ce4_8422_2325, |digest, part| {
            let digest = part.unwrap_or_default().bytes().fold(digest, hash);
            hash(digest, if part.is_some() { 0xff } else { 0xfe })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hubs of different versions compare digests through Redis.
    #[test]
    fn a_digest_covers_the_whole_event_and_never_changes() {
        let plain = Event::text("a");
        assert_eq!(plain.digest(), 0x5c53_c12e_c7bf_cbdd);
        assert_eq!(Event::json(&1).unwrap().digest(), Event::text("1").digest());
        let others = [
            Event::text(""),
            Event::text("b"),
            Event::text("a").with_type("a").unwrap(),
            Event::text("a").with_id("a").unwrap(),
            Event::text("a").with_retry(Duration::ZERO).unwrap(),
            Event::text("").with_type("a").unwrap(),
        ];
        let mut digests: Vec<u64> = others.iter().chain([&plain]).map(Event::digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
    }
}
