//! What can be asked of Redis: a script with its keys and arguments, or one command.
//!
//! It says how a request is written, to which key it belongs, and whether it may be sent again; it sends nothing.
//! `attempt` and `batch` do.

use bytes::Bytes;
use redis::Cmd;

/// A script with the name that Redis knows it by.
#[derive(Debug)]
pub(crate) struct Script {
    source: &'static str,
    sha: String,
}

/// A script to be run, all of its keys in one hash slot.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) script: &'a Script,
    /// At least one in a Cluster; the first decides which node it is.
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Bytes>,
    /// Whether running it twice does what running it once does, so that it may be sent again after its reply was lost.
    pub(crate) repeatable: bool,
}

/// Either of the two.
#[derive(Debug)]
pub(super) enum Request<'a> {
    Script(Call<'a>),
    Command { key: Option<&'a str>, command: Cmd, repeatable: bool },
}

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        let sha = redis::Script::new(source).get_hash().to_owned();
        Self { source, sha }
    }

    pub(super) fn sha(&self) -> &str {
        &self.sha
    }
}

impl Request<'_> {
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Script(call) => call.keys.first().map(String::as_str),
            Self::Command { key, .. } => *key,
        }
    }

    pub(super) fn repeatable(&self) -> bool {
        match self {
            Self::Script(call) => call.repeatable,
            Self::Command { repeatable, .. } => *repeatable,
        }
    }

    pub(super) fn script(&self) -> Option<&Script> {
        match self {
            Self::Script(call) => Some(call.script),
            Self::Command { .. } => None,
        }
    }

    /// As it is sent: a script by its name, or with its source.
    pub(super) fn command(&self, with_source: bool) -> Cmd {
        let call = match self {
            Self::Script(call) => call,
            Self::Command { command, .. } => return command.clone(),
        };
        let mut command = if with_source { redis::cmd("EVAL") } else { redis::cmd("EVALSHA") };
        command.arg(if with_source { call.script.source } else { &call.script.sha });
        command.arg(call.keys.len()).arg(&call.keys);
        for argument in &call.arguments {
            command.arg(&argument[..]);
        }
        command
    }
}
