//! Asking where a channel's newest event stands. No script: one command does, and many go in one pipeline.

use redis::{Cmd, Value};
use tidecast::Position;

use super::{Malformed, reply};
use crate::keys::ChannelKeys;

/// The command. It may be repeated.
pub(crate) fn head(keys: &ChannelKeys) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(&keys.meta).arg("e").arg("o");
    command
}

/// Reads its reply: `None` where the channel has no log.
pub(crate) fn parse_head(value: Value) -> Result<Option<Position>, Malformed> {
    let mut reply = reply::Reply::new(value)?;
    let Some(epoch) = reply.optional_text("an epoch")? else { return Ok(None) };
    let offset = reply.number("an offset")?;
    reply::position(&epoch, offset).map(Some)
}
