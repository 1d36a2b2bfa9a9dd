//! Asking for a publish, and what comes of it.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use redis::Value;
use tidecast::{Event, IdempotencyKey, Position};

use super::{MalformedReply, Script, ScriptCall, fresh_epoch, milliseconds, number, reply_reader, script};
use crate::{
    PlainFormat,
    codec::{Payload, stored},
    keys::ChannelKeys,
    replication_ids::SeenReplicationIds,
};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| script(include_str!("publish.lua")));

/// How many times in the life of an event its age is looked at. It stays for at most two of these parts longer than it
/// should, and never shorter.
const LOOKS_AT_AGE: u64 = 8;

/// An event on its way into Redis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish<'a> {
    /// Of the channel.
    pub(crate) keys: &'a ChannelKeys,
    /// What.
    pub(crate) event: &'a Event,
    /// Under which key repeating it is harmless.
    pub(crate) idempotency_key: Option<&'a IdempotencyKey>,
    /// What this publish is to be answered with, and every repetition of it.
    pub(crate) receipt: &'a str,
    /// Where it is heard.
    pub(crate) target: PublishTarget<'a>,
    /// What is remembered.
    pub(crate) retention: &'a Retention,
    /// Which servers this node has seen.
    pub(crate) seen: &'a SeenReplicationIds,
}

/// Where an event is heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishTarget<'a> {
    /// The name that is published on.
    pub(crate) name: &'a str,
    /// Whether that is a sharded channel. It then has to lie in the slot of the keys.
    pub(crate) sharded: bool,
    /// In which shape.
    pub(crate) format: PlainFormat,
}

/// How much Redis remembers.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    /// Most events of a channel, rounded up to what a node of a stream holds; zero keeps none.
    pub(crate) events_max: usize,
    /// How long events are kept. No longer than the hash is.
    pub(crate) events_age_max: Duration,
    /// How long the hash, and with it the epoch, outlives the last publish.
    pub(crate) idle_age_max: Duration,
    /// How long idempotency keys are remembered; zero remembers none.
    pub(crate) idempotency_age_max: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Where the event stands.
    pub(crate) position: Position,
    /// Whether the idempotency key was known: then nothing was published now.
    pub(crate) repeated: bool,
    /// How many connections the one server published to; 0 if repeated.
    pub(crate) redis_receivers: u64,
    /// What the first publish was to be answered with.
    pub(crate) receipt: String,
    /// The server's `master_replid`.
    pub(crate) server: String,
}

impl Publish<'_> {
    /// The call. It is drawn a new epoch each time, so build it anew for each publish.
    pub(crate) fn call(&self) -> ScriptCall<'static> {
        let Retention { events_max, events_age_max, idle_age_max, idempotency_age_max } = self.retention;
        let age_ms = milliseconds((*events_age_max).min(*idle_age_max));
        let once = self.idempotency_key.filter(|_| !idempotency_age_max.is_zero()).map(|key| self.keys.once(key));
        let payload = Payload::new(self.event, self.target.format, *events_max > 0);
        ScriptCall {
            script: &PUBLISH,
            repeatable: once.is_some(),
            keys: [self.keys.meta.clone(), self.keys.events.clone()].into_iter().chain(once).collect(),
            arguments: vec![
                fresh_epoch(),
                stored(self.event).into(),
                payload.json.map_or_else(Bytes::new, Bytes::from),
                Bytes::copy_from_slice(&payload.first_digit),
                Bytes::copy_from_slice(self.target.name.as_bytes()),
                Bytes::from_static(if self.target.sharded { b"SPUBLISH" } else { b"PUBLISH" }),
                number((*events_max).min(i32::MAX as usize) as u64),
                number(age_ms),
                number(milliseconds(*idle_age_max)),
                number((age_ms / LOOKS_AT_AGE).max(1)),
                number(milliseconds(*idempotency_age_max)),
                Bytes::copy_from_slice(self.receipt.as_bytes()),
                self.seen.last.clone(),
                self.seen.earlier.clone(),
                self.seen.return_mark.clone(),
                self.seen.mark_if_returned.clone(),
            ],
        }
    }

    /// Reads its reply.
    pub(crate) fn parse(value: Value) -> Result<Accepted, MalformedReply> {
        let mut reply = reply_reader::ReplyReader::new(value)?;
        let epoch = reply.text("an epoch")?;
        let position = reply_reader::position(&epoch, reply.number("an offset")?)?;
        Ok(Accepted {
            position,
            repeated: reply.number("whether it is repeated")? == 1,
            redis_receivers: reply.number("receivers")?,
            receipt: reply.text("an answer")?,
            server: reply.text("a server")?,
        })
    }
}
