//! The scripts that run in Redis: a Lua file each, and beside it the code that encodes arguments and parses replies.

mod find_id;
mod forget;
mod head;
pub(crate) mod history;
mod publish;
mod reply_reader;
#[cfg(test)]
mod tests;

use crate::commands::{Script, ScriptCall};
use bytes::Bytes;

pub(crate) use self::{
    find_id::FindId,
    forget::Forget,
    head::{head_command, parse_head},
    history::{HistoryPage, ReadHistory},
    publish::{Publish, PublishTarget, Retention},
    reply_reader::MalformedReply,
};

/// Creates a script, with the table of digits from `codec` and the functions that scripts share.
fn script(text: &str) -> Script {
    let text = text.replace("@HEAD@", include_str!("scripts/head.lua"));
    let text = text.replace("@ORIGIN_EPOCHS@", include_str!("scripts/origin_epochs.lua"));
    Script::new(text.replace("@DIGITS@", &crate::codec::lua_digits()))
}

/// Encodes a number.
fn number(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

/// Converts a duration to whole milliseconds: at least 1, because Redis expires a key with none left at once, and up to
/// a hundred years, so that no sum with the clock overflows.
fn milliseconds(time: std::time::Duration) -> u64 {
    const HUNDRED_YEARS_MS: u64 = 100 * 366 * 86_400_000;
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, HUNDRED_YEARS_MS)
}

/// Encodes a new random epoch.
fn fresh_epoch() -> Bytes {
    let position = tidecast::Position { epoch: tidecast::Epoch::random(), offset: 0 }.to_string();
    // A position is the epoch, a dot, and the offset.
    Bytes::from(position).slice(..12)
}
