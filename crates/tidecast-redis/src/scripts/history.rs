//! Asking for what a node is missing of a channel.

use std::{sync::LazyLock, time::Duration};

use redis::Value;
use tidecast::{Epoch, Position};

use super::{MalformedReply, Script, ScriptCall, milliseconds, number, reply_reader, script};
use crate::keys::ChannelKeys;

static READ_HISTORY: LazyLock<Script> = LazyLock::new(|| script(include_str!("history.lua")));

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadHistory<'a> {
    /// Of the channel.
    pub(crate) keys: &'a ChannelKeys,
    /// After which offset; `None` for the newest events.
    pub(crate) after: Option<u64>,
    /// Most events; zero answers the head alone.
    pub(crate) limit: usize,
    /// Most bytes of them, as they are stored; one event is always answered.
    pub(crate) bytes_max: usize,
    /// How long the hash outlives the last event.
    pub(crate) idle_age_max: Duration,
}

/// What a channel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryPage {
    /// Its newest event, whether that is still stored or not.
    pub(crate) head: Position,
    /// Its earlier epochs.
    pub(crate) lineage: Lineage,
    /// Epochs by which it was known before its first event, with nothing lost since.
    pub(crate) origins: Vec<Epoch>,
    /// The server's `master_replid`; empty if this user may not ask for it.
    pub(crate) server: String,
    /// Whether the server was a replica before it was a primary.
    pub(crate) promoted: bool,
    /// Whether the epoch is of the server as it is now: it was not restarted since the newest event.
    pub(crate) current: bool,
    /// Whether what was asked for begins with the first of `events`, or is nothing. Otherwise older ones are gone.
    pub(crate) complete: bool,
    /// The server's time as it answered, in milliseconds; `None` if this user may not ask for it.
    pub(crate) now_ms: Option<u64>,
    /// Whether the bounds of the answer may have left out events.
    pub(crate) cut: bool,
    /// Oldest first and without holes.
    pub(crate) events: Vec<StoredEvent>,
}

/// An event of a channel's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEvent {
    pub(crate) offset: u64,
    /// When it was published, by the server's clock, in milliseconds.
    pub(crate) at_ms: u64,
    /// For [`decode_stored`](crate::codec::decode_stored).
    pub(crate) payload: Vec<u8>,
}

/// Where each earlier epoch of a channel ended, newest first; at most eight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lineage(Vec<Position>);

impl ReadHistory<'_> {
    /// The call.
    pub(crate) fn call(&self) -> ScriptCall<'static> {
        let after = self.after.map_or_else(|| "-1".to_owned(), |after| after.to_string());
        ScriptCall {
            script: &READ_HISTORY,
            keys: vec![self.keys.meta.clone(), self.keys.events.clone()],
            arguments: vec![
                after.into(),
                number(self.limit as u64),
                number(self.bytes_max as u64),
                number(milliseconds(self.idle_age_max)),
            ],
            repeatable: true,
        }
    }

    /// Reads its reply: `None` where the channel has no log.
    pub(crate) fn parse(value: Value) -> Result<Option<HistoryPage>, MalformedReply> {
        let mut reply = reply_reader::ReplyReader::new(value)?;
        if reply.is_empty() {
            return Ok(None);
        }
        let epoch = reply.text("an epoch")?;
        let head = reply_reader::position(&epoch, reply.number("an offset")?)?;
        let lineage = Lineage::parse(&reply.text("a lineage")?);
        let mut complete = reply.number("whether it is complete")? == 1;
        let origins = reply.text("origins")?;
        let origins = origins.split(',').filter_map(|epoch| reply_reader::position(epoch, 0).ok());
        let origins = origins.map(|origin| origin.epoch).collect();
        let server = reply.text("a server")?;
        let promoted = reply.number("whether it was promoted")? == 1;
        let current = reply.number("whether it is current")? == 1;
        let now_ms = Some(reply.number("the time")?).filter(|now| *now > 0);
        let cut = reply.number("whether it is cut")? == 1;
        let mut events: Vec<StoredEvent> = Vec::with_capacity(reply.len() / 2);
        while !reply.is_empty() {
            let id = reply.text("an id")?;
            let (offset, at_ms) = parse_id(&id).ok_or(reply_reader::malformed("an id"))?;
            if events.last().is_some_and(|before| before.offset + 1 != offset) {
                // Somebody took entries out by hand. What is before the hole is no use to who must not miss what was
                // in it.
                events.clear();
                complete = false;
            }
            events.push(StoredEvent { offset, at_ms, payload: reply.bytes("an event")? });
        }
        Ok(Some(HistoryPage { head, lineage, origins, server, promoted, current, complete, now_ms, cut, events }))
    }
}

/// Parses an id of a stream, as `publish.lua` draws it.
fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (offset, at_ms) = id.split_once('-')?;
    Some((offset.parse().ok()?, at_ms.parse().ok()?))
}

impl Lineage {
    /// Parses what a publish wrote. A part that is damaged is left out: positions in that epoch are then unknown.
    fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(|text| text.parse().ok()).collect())
    }

    /// Each with the offset that it had reached.
    pub(crate) fn ends(&self) -> Vec<(Epoch, u64)> {
        self.0.iter().map(|end| (end.epoch, end.offset)).collect()
    }
}
