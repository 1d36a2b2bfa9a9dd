//! What runs inside Redis, and how it is asked for: a file of Lua each, and beside it what builds its arguments and
//! reads its reply.
//!
//! Nothing here sends anything. Whoever does sends [`Call::by_digest`], and where the server answers that it does not
//! know the script, [`Call::by_text`], once.

mod fill;
mod forget;
mod heads;
mod publish;
mod reply;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use redis::Cmd;

pub(crate) use self::{
    fill::{Fill, Filled, Lineage},
    forget::{Forget, Forgotten},
    heads::{head, parse_head},
    publish::{Accepted, Keep, Publish, Target},
    reply::Malformed,
};

/// A script, and the digest by which a server that has it knows it.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    text: String,
    digest: String,
}

impl Script {
    fn new(name: &'static str, text: &str) -> Self {
        let text = text.replace("@DIGITS@", &crate::codec::lua_digits());
        let digest = redis::Script::new(&text).get_hash().to_owned();
        Self { name, text, digest }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-1 of its text, in hex.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}

/// A script with what it is to be run with.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Which.
    pub(crate) script: &'static Script,
    /// All of one slot; there is at least one.
    pub(crate) keys: Vec<String>,
    /// The rest.
    pub(crate) arguments: Vec<Bytes>,
    /// Whether running it a second time does no harm when nobody knows whether it ran.
    pub(crate) repeatable: bool,
}

impl Call {
    /// Runs the script that the server has.
    pub(crate) fn by_digest(&self) -> Cmd {
        self.command("EVALSHA", self.script.digest())
    }

    /// Sends the script along, and the server has it from then on.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text())
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let bytes = self.keys.iter().map(String::len).chain(self.arguments.iter().map(Bytes::len)).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.arguments.len(), bytes + script.len() + 16);
        command.arg(name).arg(script).arg(self.keys.len()).arg(&self.keys);
        for argument in &self.arguments {
            command.arg(&argument[..]);
        }
        command
    }
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
