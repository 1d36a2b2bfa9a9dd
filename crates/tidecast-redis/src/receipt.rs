//! The result of a publish as text, which Redis keeps under the idempotency key to return it to a repetition.

use std::fmt;

use tidecast::{Position, Publication, Published};

/// The result of a publish, for its repetitions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    receivers: usize,
    /// The event's digest; `None` in a receipt of an older version.
    digest: Option<u64>,
    /// The event's own id, if it had one.
    id: Option<String>,
}

impl Receipt {
    pub(crate) fn new(publication: &Publication, receivers: usize) -> Self {
        let digest = publication.idempotency_key.as_ref().map(|_| publication.event.digest());
        Self { receivers, digest, id: publication.event.id().map(ToString::to_string) }
    }

    /// Parses the output of [`Display`](fmt::Display). Any other text is a receipt without receivers.
    pub(crate) fn parse(text: &str) -> Self {
        let (numbers, id) = text.split_once(' ').unwrap_or((text, ""));
        // An older version takes a number with a digest behind it for no receivers.
        let (receivers, digest) = numbers.split_once('/').unwrap_or((numbers, ""));
        Self {
            receivers: receivers.parse().unwrap_or(0),
            digest: u64::from_str_radix(digest, 16).ok(),
            id: Some(id).filter(|id| !id.is_empty()).map(str::to_owned),
        }
    }

    pub(crate) fn published(self, publication: &Publication, position: Position, repeated: bool) -> Published {
        let mut published = Published::new(publication, position, self.receivers);
        // The id of the event that was published first, which may differ from this one.
        published.id = self.id.unwrap_or_else(|| position.to_string());
        published.repeated = repeated;
        published.differs = repeated && self.digest.is_some_and(|digest| digest != publication.event.digest());
        published
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.receivers)?;
        if let Some(digest) = self.digest {
            write!(f, "/{digest:016x}")?;
        }
        write!(f, " {}", self.id.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use tidecast::{Event, IdempotencyKey};

    use super::*;

    #[test]
    fn a_receipt_tells_a_repetition_from_another_event() {
        let publication = |data: &str, id: &str| {
            let event = Event::text(data).with_id(id).unwrap();
            Publication::new("sse", event).unwrap().with_idempotency_key(IdempotencyKey::new("k").unwrap())
        };
        let first = publication("x", "an id");
        let receipt = Receipt::new(&first, 7).to_string();
        let again = |receipt: &str, publication: &Publication| {
            let published = Receipt::parse(receipt).published(publication, Position::START, true);
            (published.receivers, published.id, published.differs)
        };
        assert_eq!(again(&receipt, &first), (7, "an id".to_owned(), false));
        assert_eq!(again(&receipt, &publication("y", "an id")), (7, "an id".to_owned(), true));
        // A receipt of an older version cannot tell.
        assert_eq!(again("7 an id", &publication("y", "an id")), (7, "an id".to_owned(), false));
        assert_eq!(Receipt::parse(&receipt), Receipt::new(&first, 7));
    }
}
