//! The hub's own clients: `publish`, `tail` and `bench`, which speak to it over HTTP as any other program would, and
//! `ticket`, which signs what lets others in.
//!
//! An [`address`] says where the hub is, a [`connection`] carries requests to it, [`backoff`] says when to try again;
//! each command is a file of its own. None of them knows the engine: what they know of the hub is what it answers.

pub(crate) mod cli;
pub(crate) mod client;
pub(crate) mod style;

pub(crate) mod bench;
pub(crate) mod publish;
pub(crate) mod tail;
pub(crate) mod ticket;

use std::process::ExitCode;

use self::client::address;
pub(crate) use self::{bench::BenchArguments, publish::PublishArguments, tail::TailArguments, ticket::TicketArguments};

/// How a command ended that did not fail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Something was not, and was named.
    Failed,
    /// Nobody can tell of something whether it was done; it was named.
    Unknown,
    /// The command line can't be followed; it was told why.
    Usage,
    /// Somebody interrupted it.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Unknown => Self::from(2),
            Exit::Usage => Self::from(crate::EXIT_USAGE),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// Where the hub is, and the key to it: the same for every command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HubArguments {
    /// Where the hub is; a path is kept, for a hub behind a proxy
    #[arg(long, value_name = "URL", env = address::VARIABLE, default_value = address::DEFAULT)]
    url: address::HubAddress,
    /// Publish key of the hub. A flag shows in the list of processes: prefer the variable
    #[arg(long = "publish-key", alias = "key", value_name = "KEY", env = KEY_VARIABLE, hide_env_values = true)]
    key: Option<Key>,
}

/// The variable with the key, which `serve` reads too.
const KEY_VARIABLE: &str = "TIDECAST_PUBLISH_KEY";

/// What that was called before. It counts if the other is not set.
const OLD_KEY_VARIABLE: &str = "TIDECAST_KEY";

/// The variables that the clients read and `serve` does not.
pub(crate) const VARIABLES: [&str; 2] = [address::VARIABLE, OLD_KEY_VARIABLE];

/// Returns the key of the variable's old name, if there is one.
fn key_from_old_variable() -> Option<String> {
    std::env::var(OLD_KEY_VARIABLE).ok().filter(|key| !key.is_empty())
}

/// What is said of a key that no header can carry.
const BAD_KEY: &str = "the key of --publish-key or TIDECAST_PUBLISH_KEY must have visible ASCII characters only";

/// The header's value with the key in it; an error where no header can carry it. It is never written, not even for
/// debugging, nor by the parser of the command line, which would quote what it refuses.
#[derive(Clone)]
struct Key(Result<Option<http::HeaderValue>, ()>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl std::str::FromStr for Key {
    type Err = std::convert::Infallible;

    /// An empty key is none, as an empty variable is one that somebody unset as well as they could.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(Ok(None)));
        }
        let Ok(mut value) = http::HeaderValue::try_from(format!("Bearer {text}")) else { return Ok(Self(Err(()))) };
        value.set_sensitive(true);
        Ok(Self(Ok(Some(value))))
    }
}

impl HubArguments {
    /// Takes the key from the variable's old name if it is nowhere else, and returns what is wrong with the key, without
    /// saying it.
    fn check(&mut self) -> Result<(), &'static str> {
        if matches!(self.key, None | Some(Key(Ok(None)))) {
            self.key = key_from_old_variable().and_then(|key| key.parse().ok());
        }
        match &self.key {
            Some(Key(Err(()))) => Err(BAD_KEY),
            _ => Ok(()),
        }
    }

    /// The header's value that shows the key.
    fn authorization(&self) -> Option<http::HeaderValue> {
        self.key.as_ref()?.0.clone().ok()?
    }
}

/// Tells a mistake in the command line that only its meaning shows.
fn usage_error(mistake: impl std::fmt::Display) -> anyhow::Result<Exit> {
    crate::observe::terminal::print_error(format_args!("error: {mistake}"));
    Ok(Exit::Usage)
}

/// Runs a command to its end.
pub(crate) fn run(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    // One thread is enough: there is one conversation, or many that wait most of the time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(command);
    // A thread that still reads standard input is nothing that anybody waits for.
    runtime.shutdown_background();
    exit
}
