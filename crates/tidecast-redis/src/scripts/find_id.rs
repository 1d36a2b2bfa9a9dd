//! Asking where a channel's history has an id of a publisher's own.

use std::sync::LazyLock;

use redis::Value;
use tidecast::Position;

use super::{MalformedReply, Script, ScriptCall, number, reply_reader, script};
use crate::{codec::stored_id, keys::ChannelKeys};

static FIND_ID: LazyLock<Script> = LazyLock::new(|| script(include_str!("find_id.lua")));

/// Part of a search, which goes from newer events to older ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FindId<'a> {
    pub(crate) keys: &'a ChannelKeys,
    pub(crate) id: &'a str,
    /// The newest offset to look at.
    pub(crate) last: u64,
    /// Most events to look at; at least 1.
    pub(crate) limit: usize,
    /// Most bytes of them, as they are stored. The event that exceeds it is looked at, and up to 15 that follow it.
    pub(crate) bytes_max: usize,
}

/// Result of a [`FindId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdSearch {
    /// The oldest event with the id.
    pub(crate) oldest: Option<Position>,
    /// How many have the id.
    pub(crate) found: u64,
    /// How many events were looked at.
    pub(crate) events: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Where the search goes on.
    pub(crate) before: u64,
    /// Whether there is nothing older.
    pub(crate) ended: bool,
}

impl FindId<'_> {
    /// Returns the call.
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

    /// Parses its reply: `None` if the channel has no log.
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
