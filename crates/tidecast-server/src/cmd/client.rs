//! The parts that the client commands share: the address and key of the hub, and connections to it.

pub(super) mod address;
pub(super) mod backoff;
pub(super) mod connection;
pub(super) mod problem;

/// The arguments by which a client command finds its hub.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HubArguments {
    /// Address of the hub; a path is kept, for a hub behind a proxy
    #[arg(long, value_name = "URL", env = address::VARIABLE, default_value = address::DEFAULT)]
    pub(super) url: address::HubAddress,
    /// Publish key of the hub. The list of processes shows flags, so prefer the variable
    #[arg(long = "publish-key", alias = "key", value_name = "KEY", env = KEY_VARIABLE, hide_env_values = true)]
    key: Option<KeyHeader>,
}

/// The variable with the key, which `serve` reads too.
pub(super) const KEY_VARIABLE: &str = "TIDECAST_PUBLISH_KEY";

/// The former name of that variable, used if the other is not set.
const OLD_KEY_VARIABLE: &str = "TIDECAST_KEY";

/// The variables that the clients read and `serve` does not.
pub(super) const VARIABLES: [&str; 2] = [address::VARIABLE, OLD_KEY_VARIABLE];

/// Returns the key of the variable's former name, if it is set.
pub(super) fn key_from_old_variable() -> Option<String> {
    std::env::var(OLD_KEY_VARIABLE).ok().filter(|key| !key.is_empty())
}

/// The error for a key that a header cannot carry. It does not show the key.
const INVALID_KEY: &str = "the key of --publish-key or TIDECAST_PUBLISH_KEY must have visible ASCII characters only";

/// The `Authorization` value that carries the key.
///
/// Parsing never fails, because the parser of the command line would show an invalid key in its error; `Debug` does not
/// show the key either.
#[derive(Clone)]
enum KeyHeader {
    /// An empty key counts as not set.
    Empty,
    Valid(http::HeaderValue),
    Invalid,
}

impl std::fmt::Debug for KeyHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHeader(…)")
    }
}

impl std::str::FromStr for KeyHeader {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        Ok(match http::HeaderValue::try_from(format!("Bearer {text}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Self::Valid(value)
            }
            Err(_) => Self::Invalid,
        })
    }
}

impl HubArguments {
    /// Takes the key from the variable's former name if it is not set elsewhere, and checks it.
    pub(super) fn check(&mut self) -> Result<(), &'static str> {
        if matches!(self.key, None | Some(KeyHeader::Empty)) {
            self.key = key_from_old_variable().and_then(|key| key.parse().ok());
        }
        if matches!(self.key, Some(KeyHeader::Invalid)) { Err(INVALID_KEY) } else { Ok(()) }
    }

    /// Returns the value of the `Authorization` header, if there is a key.
    fn authorization(&self) -> Option<http::HeaderValue> {
        match &self.key {
            Some(KeyHeader::Valid(value)) => Some(value.clone()),
            _ => None,
        }
    }
}
