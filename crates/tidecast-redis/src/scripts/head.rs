//! Asking where a channel's newest event stands. No script: one command does, and many go in one pipeline.

use redis::{Cmd, Value};
use tidecast::Position;

use super::{MalformedReply, reply_reader};
use crate::keys::ChannelKeys;

/// The command. It may be repeated.
pub(crate) fn head(keys: &ChannelKeys) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(&keys.meta).arg("e").arg("o");
    command
}

/// Parses its reply: `None` if the channel has no log, or a damaged one, which starts over with the next publish.
pub(crate) fn parse_head(value: Value) -> Result<Option<Position>, MalformedReply> {
    let mut reply = reply_reader::ReplyReader::new(value)?;
    let Some(epoch) = reply.optional_text("an epoch")? else { return Ok(None) };
    let head = reply.number("an offset").and_then(|offset| reply_reader::position(&epoch, offset)).ok();
    Ok(head.filter(|head| head.offset <= 1 << 53))
}
