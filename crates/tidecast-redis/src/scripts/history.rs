//! Reads the part of a channel's history that a node lacks.

use std::{sync::LazyLock, time::Duration};

use redis::Value;
use tidecast::{
    Epoch, Limits, Position,
    broker::{Head, PastEvent},
};

use super::{MalformedReply, Script, ScriptCall, milliseconds, number, reply_reader, script};
use crate::{codec::decode_stored, keys::ChannelKeys};

static READ_HISTORY: LazyLock<Script> = LazyLock::new(|| script(include_str!("history.lua")));

/// A request for a page of a channel's history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadHistory<'a> {
    pub(crate) keys: &'a ChannelKeys,
    /// Reads the events after this offset; `None` reads the newest events.
    pub(crate) after: Option<u64>,
    /// The most events; zero reads the head only.
    pub(crate) limit: usize,
    /// The most bytes of events, as they are stored. One event is always read.
    pub(crate) bytes_max: usize,
    /// How long the channel's hash outlives its last event.
    pub(crate) idle_age_max: Duration,
}

/// A page of a channel's history, and the channel's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryPage {
    /// The position of the newest event, whether that is still stored or not.
    pub(crate) head: Position,
    pub(crate) lineage: Lineage,
    /// The epochs in which the channel was known before its first event, with nothing lost since.
    pub(crate) origins: Vec<Epoch>,
    /// The server's replication id; empty if this user may not read it.
    pub(crate) server: String,
    /// The server was a replica before it became a primary.
    pub(crate) promoted: bool,
    /// The epoch was drawn by the server as it runs now: it has not restarted since the newest event.
    pub(crate) current: bool,
    /// The page begins right after the requested offset, or nothing follows that. Otherwise older events are gone.
    pub(crate) complete: bool,
    /// The server's clock in milliseconds; `None` if this user may not read it.
    pub(crate) now_ms: Option<u64>,
    /// The bounds of the page may have left out events.
    pub(crate) cut: bool,
    /// Oldest first, without holes.
    pub(crate) events: Vec<StoredEvent>,
}

/// An entry of a channel's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEvent {
    pub(crate) offset: u64,
    /// When it was published, by the server's clock, in milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) payload: Vec<u8>,
}

/// The last positions of up to eight earlier epochs of a channel, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lineage(Vec<Position>);

impl ReadHistory<'_> {
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

    /// Parses the reply. Returns `None` if the channel has no hash.
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
                // Entries were removed by hand. A reader that must miss nothing cannot use the events before the hole.
                events.clear();
                complete = false;
            }
            events.push(StoredEvent { offset, at_ms, payload: reply.bytes("an event")? });
        }
        Ok(Some(HistoryPage { head, lineage, origins, server, promoted, current, complete, now_ms, cut, events }))
    }
}

impl HistoryPage {
    /// Returns the head with its lineage and origins.
    pub(crate) fn to_head(&self) -> Head {
        // Without an origin, `0.0` does not say when it was issued, so a reader that returns with it is reset.
        let origin = if self.head.offset == 0 { None } else { self.origins.first().copied() };
        Head::new(self.head)
            .with_lineage(self.lineage.ends())
            .with_origin(origin.unwrap_or(self.head.epoch))
            .with_origins(self.origins.clone())
    }

    /// Decodes the events, at their positions in the head's epoch, in which all offsets of the channel continue. Leaves
    /// out an event that cannot be decoded, which another program wrote.
    pub(crate) fn decode_events(&self, limits: &Limits) -> Vec<PastEvent> {
        let event = |stored: &StoredEvent| {
            let event = decode_stored(&stored.payload, limits).ok()?;
            Some(PastEvent::new(Position { epoch: self.head.epoch, offset: stored.offset }, event))
        };
        self.events.iter().filter_map(event).collect()
    }
}

/// Parses an entry's id, as `publish.lua` draws it.
fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (offset, at_ms) = id.split_once('-')?;
    Some((offset.parse().ok()?, at_ms.parse().ok()?))
}

impl Lineage {
    /// Parses what `publish.lua` wrote. Leaves out a damaged part: positions in that epoch are then unknown.
    fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(|text| text.parse().ok()).collect())
    }

    /// Returns each epoch with its last offset.
    pub(crate) fn ends(&self) -> Vec<(Epoch, u64)> {
        self.0.iter().map(|end| (end.epoch, end.offset)).collect()
    }
}
