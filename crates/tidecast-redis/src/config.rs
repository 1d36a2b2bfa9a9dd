//! How to reach a Redis, and what to keep there.
//!
//! A [`RedisConfig`] is read once, at start, from a URL as redis-py reads it; nothing after it looks at a URL again. It
//! opens nothing, and never prints a password. Whoever starts a broker makes one.

mod options;
#[cfg(test)]
mod tests;
mod url;

use std::{fmt, time::Duration};

use tidecast::{Error, Result};

use crate::{address::Address, tls::TlsOptions};

/// How to reach a Redis, and what to keep there.
///
/// Its `Display` and `Debug` are the URL with every password masked.
///
/// # Examples
///
/// ```
/// use tidecast_redis::RedisConfig;
///
/// let config = RedisConfig::from_url("redis://:secret@db.example/2?max_connections=9")?;
/// assert_eq!(config.to_string(), "redis://:***@db.example/2?max_connections=9");
/// assert_eq!(config.warnings().len(), 1);
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// The URL as it may be shown.
    masked: String,
    warnings: Vec<String>,
    pub(crate) deployment: Deployment,
    pub(crate) login: Login,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) db: u32,
    pub(crate) client_name: String,
    pub(crate) resp2: bool,
    pub(crate) keepalive: bool,
    pub(crate) prefix: String,
    pub(crate) compat: bool,
    pub(crate) plain_format: PlainFormat,
    pub(crate) history_events_max: usize,
    pub(crate) history_age_max: Duration,
    pub(crate) idle_age_max: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) probe_interval: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) compare_interval: Duration,
}

/// How an event is written on the plain channel, for programs that know nothing of Tidecast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlainFormat {
    /// `{"data": …, "type": …}`, as Flask-SSE from PyPI reads it.
    #[default]
    Object,
    /// `[type, data]`, as the older extension of that name reads it.
    Array,
}

/// Which servers to ask for the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deployment {
    Standalone(Address),
    Sentinel { sentinels: Vec<Address>, service: String, login: Login },
    Cluster { seeds: Vec<Address> },
}

/// Who we are to a server. Without either it is not asked to know us.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl RedisConfig {
    /// Reads a URL as redis-py does.
    ///
    /// | URL | what it is |
    /// |---|---|
    /// | `redis://[[user]:[password]@][host][:port][/db]` | one server; `localhost`, 6379 and 0 where not said |
    /// | `rediss://…` | the same over TLS |
    /// | `unix://[[user]:[password]@]/path.sock[?db=0]` | one server on a Unix socket |
    /// | `redis+sentinel://…@h1:26379,h2:26379/SERVICE[/db]` | the primary that Sentinels name; `?sentinel_username=` and `?sentinel_password=` are for them |
    /// | `redis+cluster://…@h1:6379,h2:6379` | a Cluster, found from any of its nodes |
    /// | `rediss+sentinel://…`, `rediss+cluster://…` | the same over TLS |
    ///
    /// Options in the query: `db`, `username`, `password`, `host`, `port`, `protocol` (2 or 3), `client_name`,
    /// `socket_timeout`, `socket_connect_timeout`, `socket_keepalive`, `health_check_interval`, `ssl_cert_reqs` (`none`,
    /// `optional`, `required`), `ssl_check_hostname`, `ssl_ca_certs`, `ssl_ca_path`, `ssl_certfile`, `ssl_keyfile`,
    /// `ssl_min_version`. Any other is named in [`warnings`](Self::warnings).
    ///
    /// # Errors
    ///
    /// `is_invalid`, naming the part that is wrong. Where redis-py passes over a database that is no number, this
    /// does not.
    pub fn from_url(url: &str) -> Result<Self> {
        options::read(url::Url::parse(url)?)
    }

    /// What the URL says that means nothing here, or not quite what it says: to be logged at start.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the names of all keys begin with: 1 to 64 bytes of printable ASCII. Default: `tidecast`.
    ///
    /// # Errors
    ///
    /// `is_invalid` for any other text, and for braces, which say where a key lives in a Cluster.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        if !(1..=64).contains(&prefix.len()) {
            return Err(Error::invalid("key prefix", "is not 1 to 64 bytes long"));
        }
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}')) {
            return Err(Error::invalid("key prefix", "is not printable ASCII without spaces and braces"));
        }
        self.prefix = prefix;
        Ok(self)
    }

    /// Whether events go over the plain channel of their name, where Flask-SSE hears them. Default: yes.
    #[must_use]
    pub fn compat(mut self, compat: bool) -> Self {
        self.compat = compat;
        self
    }

    /// How an event is written on the plain channel. Default: [`PlainFormat::Object`].
    #[must_use]
    pub fn plain_format(mut self, format: PlainFormat) -> Self {
        self.plain_format = format;
        self
    }

    /// How many events of a channel Redis keeps, about. Default: 10,000; 0 keeps none.
    #[must_use]
    pub fn history_events_max(mut self, events: usize) -> Self {
        self.history_events_max = events;
        self
    }

    /// How long Redis keeps an event, about. Default: 1 hour; zero keeps none.
    #[must_use]
    pub fn history_age_max(mut self, age: Duration) -> Self {
        self.history_age_max = age;
        self
    }

    /// How long a channel's counter outlives its last event. Default: 24 hours; less than
    /// [`history_age_max`](Self::history_age_max), zero too, counts as that.
    #[must_use]
    pub fn idle_age_max(mut self, age: Duration) -> Self {
        self.idle_age_max = age;
        self
    }

    /// How long a command may take in all, with connecting, waiting for its turn and every attempt. Default: the URL's
    /// `socket_timeout`, or 5 seconds; less than a millisecond counts as one.
    #[must_use]
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// How long one connect may take, with TLS and login. Default: the URL's `socket_connect_timeout`, or 5 seconds;
    /// less than a millisecond counts as one.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// How long the listening connection may be silent before it is probed. Default: the URL's
    /// `health_check_interval`, or 15 seconds; zero never probes.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// How long the answer to a probe, and to a subscription, may take. Default: 5 seconds; less than a millisecond
    /// counts as one.
    #[must_use]
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// How often the heads of silent channels are compared with Redis. Default: 30 seconds; zero never compares.
    #[must_use]
    pub fn compare_interval(mut self, interval: Duration) -> Self {
        self.compare_interval = interval;
        self
    }

    /// Whether it is a Cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.deployment, Deployment::Cluster { .. })
    }

    /// Whether channels are sharded: sent to the one node that has their slot, and heard there.
    pub(crate) fn is_sharded(&self) -> bool {
        !self.compat && self.is_cluster()
    }

    /// Whether Redis keeps events at all.
    pub(crate) fn keeps_history(&self) -> bool {
        self.history_events_max > 0 && !self.history_age_max.is_zero()
    }

    /// How long a channel's counter outlives its last event: never less than the events that it counts.
    pub(crate) fn counter_age_max(&self) -> Duration {
        self.idle_age_max.max(self.history_age_max)
    }

    /// With every default, for what the URL named.
    fn new(masked: String, deployment: Deployment) -> Self {
        Self {
            masked,
            warnings: Vec::new(),
            deployment,
            login: Login::default(),
            tls: None,
            db: 0,
            client_name: "tidecast".to_owned(),
            resp2: false,
            keepalive: true,
            prefix: "tidecast".to_owned(),
            compat: true,
            plain_format: PlainFormat::default(),
            history_events_max: 10_000,
            history_age_max: Duration::from_secs(60 * 60),
            idle_age_max: Duration::from_secs(24 * 60 * 60),
            command_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            probe_interval: Duration::from_secs(15),
            probe_timeout: Duration::from_secs(5),
            compare_interval: Duration::from_secs(30),
        }
    }
}

impl Login {
    /// Redis wants a password with every name; as redis-py has it, an empty one where there is none.
    pub(crate) fn effective_password(&self) -> Option<&str> {
        self.password.as_deref().or(self.username.as_ref().map(|_| ""))
    }
}

impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisConfig({self})")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Login").field("username", &self.username).field("password", &password).finish()
    }
}

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
