//! What a publish is answered with, as text that Redis keeps under an idempotency key: who repeats it gets the same.

use std::fmt;

use tidecast::{Position, Publication, Published};

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    receivers: usize,
    /// The event's own id, if it had one.
    id: Option<String>,
}

impl Answer {
    pub(crate) fn new(publication: &Publication, receivers: usize) -> Self {
        Self { receivers, id: publication.event.id().map(ToString::to_string) }
    }

    /// Reads what [`Display`](fmt::Display) wrote. What it did not write is an answer without receivers.
    pub(crate) fn parse(text: &str) -> Self {
        let (receivers, id) = text.split_once(' ').unwrap_or((text, ""));
        Self { receivers: receivers.parse().unwrap_or(0), id: Some(id).filter(|id| !id.is_empty()).map(str::to_owned) }
    }

    pub(crate) fn published(self, publication: &Publication, position: Position, repeated: bool) -> Published {
        let mut published = Published::new(publication, position, self.receivers);
        // Of the event that was published first, which may have been another than this one.
        published.id = self.id.unwrap_or_else(|| position.to_string());
        published.repeated = repeated;
        published
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.receivers, self.id.as_deref().unwrap_or_default())
    }
}
