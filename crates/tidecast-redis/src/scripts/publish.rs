//! Publishes an event.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use redis::Value;
use tidecast::{Event, IdempotencyKey, Position};

use super::{MalformedReply, Script, ScriptCall, fresh_epoch, milliseconds, number, reply_reader, script};
use crate::{
    codec::{Payload, stored},
    config::{ChannelKind, PlainFormat},
    keys::ChannelKeys,
    replication_ids::SeenReplicationIds,
};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| script(include_str!("publish.lua")));

/// The number of age checks in the life of an event. It is retained up to two of these intervals too long, and never too
/// short.
const AGE_CHECKS: u64 = 8;

/// A request to publish an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publish<'a> {
    pub(crate) keys: &'a ChannelKeys,
    pub(crate) event: &'a Event,
    pub(crate) idempotency_key: Option<&'a IdempotencyKey>,
    /// Kept under the idempotency key, for repetitions.
    pub(crate) receipt: &'a str,
    pub(crate) target: PublishTarget<'a>,
    pub(crate) retention: &'a Retention,
    pub(crate) seen: &'a SeenReplicationIds,
}

/// The pub/sub channel and format of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishTarget<'a> {
    pub(crate) name: &'a str,
    /// A sharded channel must have the slot of the keys.
    pub(crate) kind: ChannelKind,
    pub(crate) format: PlainFormat,
}

/// The bounds of what Redis retains.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    /// The most events of a channel, rounded up to a node of the stream; zero retains none.
    pub(crate) events_max: usize,
    /// How long events are retained. The hash is kept at least as long.
    pub(crate) events_age_max: Duration,
    /// How long the hash, and so the epoch, outlives the last event.
    pub(crate) idle_age_max: Duration,
    /// How long receipts are kept; zero keeps none.
    pub(crate) idempotency_age_max: Duration,
}

/// The result of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) position: Position,
    /// The idempotency key was known, so nothing was published now.
    pub(crate) repeated: bool,
    /// The number of connections to which this server published; 0 if repeated.
    pub(crate) redis_receivers: u64,
    /// The receipt of the first publish with this key.
    pub(crate) receipt: String,
    /// The server's replication id.
    pub(crate) server: String,
}

impl Publish<'_> {
    /// Encodes the call, with a new epoch for when one is needed.
    pub(crate) fn call(&self) -> ScriptCall<'static> {
        let Retention { events_max, events_age_max, idle_age_max, idempotency_age_max } = self.retention;
        let age_ms = milliseconds((*events_age_max).min(*idle_age_max));
        let receipt_key =
            self.idempotency_key.filter(|_| !idempotency_age_max.is_zero()).map(|key| self.keys.receipt(key));
        let payload = Payload::new(self.event, self.target.format, *events_max > 0);
        ScriptCall {
            script: &PUBLISH,
            repeatable: receipt_key.is_some(),
            keys: [self.keys.meta.clone(), self.keys.events.clone()].into_iter().chain(receipt_key).collect(),
            arguments: vec![
                fresh_epoch(),
                stored(self.event).into(),
                payload.json.map_or_else(Bytes::new, Bytes::from),
                Bytes::copy_from_slice(&payload.first_digit),
                Bytes::copy_from_slice(self.target.name.as_bytes()),
                Bytes::from_static(match self.target.kind {
                    ChannelKind::Plain => b"PUBLISH",
                    ChannelKind::Sharded => b"SPUBLISH",
                }),
                number((*events_max).min(i32::MAX as usize) as u64),
                number(age_ms),
                number(milliseconds(*idle_age_max)),
                number((age_ms / AGE_CHECKS).max(1)),
                number(milliseconds(*idempotency_age_max)),
                Bytes::copy_from_slice(self.receipt.as_bytes()),
                self.seen.last.clone(),
                self.seen.earlier.clone(),
                self.seen.return_mark.clone(),
                self.seen.mark_if_returned.clone(),
            ],
        }
    }

    /// Parses the reply.
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
