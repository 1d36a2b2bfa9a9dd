//! Finds an event's own id in a channel's history.

use std::sync::LazyLock;

use redis::Value;
use tidecast::Position;

use super::{MalformedReply, Script, ScriptCall, number, reply_reader, script};
use crate::{codec::stored_id, keys::ChannelKeys};

static FIND_ID: LazyLock<Script> = LazyLock::new(|| script(include_str!("find_id.lua")));

/// A step of a search from newer events to older ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FindId<'a> {
    pub(crate) keys: &'a ChannelKeys,
    pub(crate) id: &'a str,
    /// The newest offset to read.
    pub(crate) last: u64,
    /// The most events to read; at least 1.
    pub(crate) limit: usize,
    /// The most bytes of events, as they are stored. The event that exceeds it is read, and up to 15 more.
    pub(crate) bytes_max: usize,
}

/// The result of a [`FindId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdSearch {
    /// The position of the oldest event with the id.
    pub(crate) oldest: Option<Position>,
    /// The number of events with the id.
    pub(crate) found: u64,
    /// The number of events read.
    pub(crate) events: usize,
    /// The bytes of events read.
    pub(crate) bytes: usize,
    /// The offset at which the next step begins.
    pub(crate) before: u64,
    /// Nothing older is left.
    pub(crate) ended: bool,
}

impl FindId<'_> {
    pub(crate) fn call(&self) -> ScriptCall<'static> {
        ScriptCall {
            script: &FIND_ID,
            keys: vec![self.keys.meta.clone(), self.keys.events.clone()],
            arguments: vec![
                number(self.last.min(1 << 53)),
                stored_id(self.id).into(),
                number(self.limit as u64),
                number(self.bytes_max as u64),
            ],
            repeatable: true,
        }
    }

    /// Parses the reply. Returns `None` if the channel has no hash.
    pub(crate) fn parse(value: Value) -> Result<Option<IdSearch>, MalformedReply> {
        let mut reply = reply_reader::ReplyReader::new(value)?;
        if reply.is_empty() {
            return Ok(None);
        }
        let epoch = reply.text("an epoch")?;
        let oldest = reply_reader::position(&epoch, reply.number("an offset")?)?;
        let mut count = |what| reply.number(what);
        Ok(Some(IdSearch {
            oldest: Some(oldest).filter(|oldest| oldest.offset > 0),
            found: count("how many were found")?,
            events: usize::try_from(count("how many were looked at")?).unwrap_or(usize::MAX),
            bytes: usize::try_from(count("bytes")?).unwrap_or(usize::MAX),
            before: count("an offset")?,
            ended: count("whether it has ended")? == 1,
        }))
    }
}
