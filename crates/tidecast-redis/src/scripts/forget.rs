//! Asking for a channel to be deleted.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use redis::Value;
use tidecast::Position;

use super::{MalformedReply, Script, ScriptCall, fresh_epoch, milliseconds, number, reply_reader, script};
use crate::keys::ChannelKeys;

static FORGET: LazyLock<Script> = LazyLock::new(|| script(include_str!("forget.lua")));

/// What is to be deleted, and who is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forget<'a> {
    /// Of the channel.
    pub(crate) keys: &'a ChannelKeys,
    /// How long the hash outlives this.
    pub(crate) idle_age_max: Duration,
    /// Where nodes listen for this.
    pub(crate) control: &'a str,
    /// What they are told.
    pub(crate) message: &'a [u8],
}

impl Forget<'_> {
    /// The call. It is not repeatable: the second would delete what was published after the first.
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

    /// Reads its reply.
    pub(crate) fn parse(value: Value) -> Result<Option<Position>, MalformedReply> {
        let mut reply = reply_reader::ReplyReader::new(value)?;
        let known = reply.number("whether it was known")? == 1;
        let epoch = reply.text("an epoch")?;
        if known { reply_reader::position(&epoch, 0).map(Some) } else { Ok(None) }
    }
}
