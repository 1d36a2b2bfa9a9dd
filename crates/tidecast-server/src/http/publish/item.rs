//! The events of a request to publish, and the members that each has.

use std::{borrow::Cow, time::Duration};

use tidecast::{Channel, Event, EventId, EventType, IdempotencyKey, Publication, limits::RETRY_MAX};
use tidecast_axum::{Problem, internals::query};

use crate::http::parameters;

/// A parsed request to publish.
#[derive(Debug)]
pub(crate) enum PublishRequest {
    /// One event; the response is an object.
    Single(PublishItem),
    /// Several events; the response is an array.
    Batch(Vec<PublishItem>),
}

/// An event to be published.
#[derive(Debug)]
pub(crate) struct PublishItem {
    pub(crate) publication: Publication,
    pub(crate) on_conflict: OnConflict,
}

/// The reaction to an idempotency key that belongs to another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Respond as to a repetition.
    Ignore,
    /// Respond with a 409.
    Reject,
}

/// The members of an event besides its data, before they are parsed.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) channel: Option<Cow<'a, str>>,
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) retry_ms: Option<u64>,
    pub(super) idempotency_key: Option<Cow<'a, str>>,
    pub(super) idempotency_conflict: Option<Cow<'a, str>>,
}

impl Fields<'_> {
    /// Parses the members, and adds them to the data. An empty member counts as absent, except the idempotency key: a client
    /// that sends an empty key relies on it.
    pub(super) fn into_item(self, data: Event) -> Result<PublishItem, Problem> {
        fn given(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
            text.filter(|text| !text.is_empty())
        }
        let channel = given(self.channel).map_or_else(|| Ok(Channel::default()), |name| Channel::new(&name))?;
        let mut event = data;
        if let Some(event_type) = given(self.event_type) {
            event = event.with_type(EventType::new(&event_type)?)?;
        }
        if let Some(id) = given(self.id) {
            event = event.with_id(EventId::new(&id)?)?;
        }
        if let Some(retry_ms) = self.retry_ms {
            event = event.with_retry(Duration::from_millis(retry_ms))?;
        }
        let mut publication = Publication::new(channel, event)?;
        publication.idempotency_key = self.idempotency_key.map(|key| IdempotencyKey::new(&key)).transpose()?;
        let on_conflict = match given(self.idempotency_conflict).as_deref() {
            Some("error") => OnConflict::Reject,
            Some("ignore") | None => OnConflict::Ignore,
            Some(_) => return Err(Problem::bad_request("`idempotency_conflict` must be `error` or `ignore`")),
        };
        Ok(PublishItem { publication, on_conflict })
    }
}

/// The names of an event's members, in each of its forms.
const NAMES: [&str; 7] = ["channel", "data", "type", "id", "retry", "idempotency_key", "idempotency_conflict"];

/// Returns the problem of an unknown member.
pub(super) fn unknown_name(name: &str) -> Problem {
    parameters::unknown(name, &NAMES)
}

/// Returns the problem of a member that is given twice.
pub(super) fn repeated_name(name: &str) -> Problem {
    Problem::bad_request(format!("`{name}` is given more than once"))
}

/// Returns the problem of an event without data.
pub(super) fn missing_data() -> Problem {
    Problem::bad_request("`data` is missing")
}

/// Returns the problem of an invalid reconnection time.
pub(super) fn invalid_retry(given: &str) -> Problem {
    Problem::bad_request(format!(
        "`retry` must be a whole number of milliseconds from 0 to {}, not {}",
        RETRY_MAX.as_millis(),
        query::quoted(given)
    ))
}
