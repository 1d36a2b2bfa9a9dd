//! Reads the head of a channel. A plain command instead of a script, so that many share a pipeline.

use redis::{Cmd, Value};
use tidecast::Position;

use super::{MalformedReply, reply_reader};
use crate::keys::ChannelKeys;

/// Returns the command, which may be repeated.
pub(crate) fn head_command(keys: &ChannelKeys) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(&keys.meta).arg("e").arg("o");
    command
}

/// Parses the reply. Returns `None` if the channel has no hash, or a damaged one, which the next publish replaces.
pub(crate) fn parse_head(value: Value) -> Result<Option<Position>, MalformedReply> {
    let mut reply = reply_reader::ReplyReader::new(value)?;
    let Some(epoch) = reply.optional_text("an epoch")? else { return Ok(None) };
    let head = reply.number("an offset").and_then(|offset| reply_reader::position(&epoch, offset)).ok();
    Ok(head.filter(|head| head.offset <= 1 << 53))
}
