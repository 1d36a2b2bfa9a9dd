//! A request: a script with its keys and arguments, or a command.

use bytes::Bytes;
use redis::Cmd;

/// A script and its digest, by which Redis caches it.
#[derive(Debug)]
pub(crate) struct Script {
    source: String,
    sha: String,
}

/// A call of a script. All of its keys have one hash slot.
#[derive(Debug, Clone)]
pub(crate) struct ScriptCall<'a> {
    pub(crate) script: &'a Script,
    /// In a Cluster at least one. The first decides on the node.
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Bytes>,
    /// Running the script twice has the effect of running it once, so the call may be repeated after its reply was lost.
    pub(crate) repeatable: bool,
}

#[derive(Debug)]
pub(super) enum CommandRequest<'a> {
    Script(ScriptCall<'a>),
    Command { key: Option<&'a str>, command: Cmd, repeatable: bool },
}

impl Script {
    pub(crate) fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha }
    }

    pub(super) fn sha(&self) -> &str {
        &self.sha
    }
}

impl ScriptCall<'_> {
    /// Encodes the call of a cached script.
    pub(crate) fn by_digest(&self) -> Cmd {
        self.command("EVALSHA", &self.script.sha)
    }

    /// Encodes the call with the script's source, which the server then caches.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", &self.script.source)
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

impl CommandRequest<'_> {
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

    /// Encodes the request: a script by its digest, or with its source.
    pub(super) fn command(&self, with_source: bool) -> Cmd {
        match self {
            Self::Script(call) if with_source => call.by_text(),
            Self::Script(call) => call.by_digest(),
            Self::Command { command, .. } => command.clone(),
        }
    }
}
