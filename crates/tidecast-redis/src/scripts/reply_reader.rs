//! Reads the reply of a script, in either version of the protocol.

use std::fmt;

use redis::Value;
use tidecast::Position;

use crate::error::CallError;

/// Parses as an epoch, because cursors use it, but no log has it.
const NEVER_AN_EPOCH: &str = "ffffffffffff";

/// A reply that no version of the script gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MalformedReply {
    /// The part that is missing or invalid.
    part: &'static str,
}

impl fmt::Display for MalformedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed reply: expected {}", self.part)
    }
}

impl std::error::Error for MalformedReply {}

impl From<MalformedReply> for CallError {
    fn from(malformed: MalformedReply) -> Self {
        Self::Protocol(malformed.to_string())
    }
}

/// Takes the elements of an array one after the other.
#[derive(Debug)]
pub(super) struct ReplyReader(std::vec::IntoIter<Value>);

impl ReplyReader {
    pub(super) fn new(value: Value) -> Result<Self, MalformedReply> {
        match value {
            Value::Array(elements) => Ok(Self(elements.into_iter())),
            _ => Err(malformed("an array")),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, part: &'static str) -> Result<Vec<u8>, MalformedReply> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(malformed(part)),
        }
    }

    /// Takes a text, or `None` for nil.
    pub(super) fn optional_text(&mut self, part: &'static str) -> Result<Option<String>, MalformedReply> {
        if matches!(self.0.as_slice().first(), Some(Value::Nil)) {
            self.0.next();
            return Ok(None);
        }
        self.text(part).map(Some)
    }

    pub(super) fn text(&mut self, part: &'static str) -> Result<String, MalformedReply> {
        String::from_utf8(self.bytes(part)?).map_err(|_| malformed(part))
    }

    /// Takes a number, or the text of one.
    pub(super) fn number(&mut self, part: &'static str) -> Result<u64, MalformedReply> {
        if let Some(Value::Int(number)) = self.0.as_slice().first().cloned() {
            self.0.next();
            return u64::try_from(number).map_err(|_| malformed(part));
        }
        self.text(part)?.parse().map_err(|_| malformed(part))
    }
}

/// Returns the position of an offset in an epoch as a script writes it. `head.lua` accepts the same epochs.
pub(super) fn position(epoch: &str, offset: u64) -> Result<Position, MalformedReply> {
    let position: Option<Position> = format!("{epoch}.{offset}").parse().ok();
    position.filter(|_| epoch != NEVER_AN_EPOCH).ok_or(malformed("an epoch"))
}

pub(super) fn malformed(part: &'static str) -> MalformedReply {
    MalformedReply { part }
}
