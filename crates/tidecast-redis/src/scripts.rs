//! What runs inside Redis, and how it is asked for: a file of Lua each, and beside it what builds its arguments and
//! reads its reply.
//!
//! Nothing here sends anything: `commands` does.

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

/// Returns a script with the table of digits that `codec` states and the functions that scripts share put in.
fn script(text: &str) -> Script {
    let text = text.replace("@HEAD@", include_str!("scripts/head.lua"));
    let text = text.replace("@SILENT@", include_str!("scripts/origin_epochs.lua"));
    Script::new(text.replace("@DIGITS@", &crate::codec::lua_digits()))
}

/// A number as an argument.
fn number(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

/// A time as an argument: whole milliseconds, at least one, since Redis expires at once what has none left. At most a
/// hundred years, so that no sum of it and the clock overflows.
fn milliseconds(time: std::time::Duration) -> u64 {
    const HUNDRED_YEARS_MS: u64 = 100 * 366 * 86_400_000;
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, HUNDRED_YEARS_MS)
}

/// An epoch that nothing has had, as a script takes it.
fn fresh_epoch() -> Bytes {
    let position = tidecast::Position { epoch: tidecast::Epoch::random(), offset: 0 }.to_string();
    // A position is its epoch, a dot, and its offset.
    Bytes::from(position).slice(..12)
}
