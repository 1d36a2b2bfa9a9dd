//! Deletes a channel.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use redis::Value;
use tidecast::Position;

use super::{MalformedReply, Script, ScriptCall, fresh_epoch, milliseconds, number, reply_reader, script};
use crate::keys::ChannelKeys;

static FORGET: LazyLock<Script> = LazyLock::new(|| script(include_str!("forget.lua")));

/// A request to delete a channel and to tell the nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forget<'a> {
    pub(crate) keys: &'a ChannelKeys,
    /// How long the hash outlives the deletion.
    pub(crate) idle_age_max: Duration,
    /// The control channel.
    pub(crate) control: &'a str,
    /// The payload on the control channel.
    pub(crate) message: &'a [u8],
}

impl Forget<'_> {
    /// Encodes the call. It is not repeatable: a second one would delete what was published after the first.
    pub(crate) fn call(&self) -> ScriptCall<'static> {
        ScriptCall {
            script: &FORGET,
            keys: vec![self.keys.meta.clone(), self.keys.events.clone()],
            arguments: vec![
                fresh_epoch(),
                number(milliseconds(self.idle_age_max)),
                Bytes::copy_from_slice(self.control.as_bytes()),
                Bytes::copy_from_slice(self.message),
            ],
            repeatable: false,
        }
    }

    /// Parses the reply. Returns the position at which the channel starts over, if it was known.
    pub(crate) fn parse(value: Value) -> Result<Option<Position>, MalformedReply> {
        let mut reply = reply_reader::ReplyReader::new(value)?;
        let known = reply.number("whether it was known")? == 1;
        let epoch = reply.text("an epoch")?;
        if known { reply_reader::position(&epoch, 0).map(Some) } else { Ok(None) }
    }
}
