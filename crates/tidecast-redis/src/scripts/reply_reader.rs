//! Taking a script's reply apart, whichever version of the protocol it came in.

use std::fmt;

use redis::Value;
use tidecast::Position;

/// A reply that no version of the script gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MalformedReply {
    /// Which part of it.
    what: &'static str,
}

impl fmt::Display for MalformedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reply of Redis makes no sense: {}", self.what)
    }
}

impl std::error::Error for MalformedReply {}

/// The elements of an array that are left to read.
#[derive(Debug)]
pub(super) struct ReplyReader(std::vec::IntoIter<Value>);

impl ReplyReader {
    pub(super) fn new(value: Value) -> Result<Self, MalformedReply> {
        match value {
            Value::Array(elements) => Ok(Self(elements.into_iter())),
            _ => Err(malformed("not an array")),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, MalformedReply> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(malformed(what)),
        }
    }

    /// Nothing where the server has nothing.
    pub(super) fn optional_text(&mut self, what: &'static str) -> Result<Option<String>, MalformedReply> {
        if matches!(self.0.as_slice().first(), Some(Value::Nil)) {
            self.0.next();
            return Ok(None);
        }
        self.text(what).map(Some)
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<String, MalformedReply> {
        String::from_utf8(self.bytes(what)?).map_err(|_| malformed(what))
    }

    /// A number, or the text of one.
    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, MalformedReply> {
        if let Some(Value::Int(number)) = self.0.as_slice().first().cloned() {
            self.0.next();
            return u64::try_from(number).map_err(|_| malformed(what));
        }
        self.text(what)?.parse().map_err(|_| malformed(what))
    }
}

/// Returns the position of an offset in an epoch as a script writes it. `head.lua` takes the same texts for epochs.
pub(super) fn position(epoch: &str, offset: u64) -> Result<Position, MalformedReply> {
    let position: Option<Position> = format!("{epoch}.{offset}").parse().ok();
    position.filter(|_| epoch != NEVER_AN_EPOCH).ok_or(malformed("an epoch"))
}

/// Parses as an epoch, since cursors have it, and is none that a log may have.
const NEVER_AN_EPOCH: &str = "ffffffffffff";

pub(super) fn malformed(what: &'static str) -> MalformedReply {
    MalformedReply { what }
}
