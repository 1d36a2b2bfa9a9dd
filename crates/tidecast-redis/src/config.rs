//! The configuration of a broker, parsed from a URL as redis-py parses it.
//!
//! Parsing opens no file and no connection. No message has a password.

#[cfg(test)]
mod tests;
mod url;
mod url_options;

use std::{fmt, time::Duration};

use tidecast::{Error, Result};

use crate::{address::Address, tls::TlsOptions};

/// How to reach Redis, and what to keep there.
///
/// `Display` and `Debug` print the URL with every password masked.
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
    /// The URL with its passwords masked.
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

/// The format of an event on its channel's plain name, for programs other than Tidecast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainFormat {
    /// `{"data": …, "type": …}`, the format of Flask-SSE on PyPI.
    #[default]
    Object,
    /// `[type, data]`, the format of the older extension of that name.
    Array,
}

/// The kind of the pub/sub channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// Published at any node, and received at every node.
    Plain,
    /// Published and received at the node of a Cluster that has the channel's slot.
    Sharded,
}

/// The servers to connect to, or to ask for the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deployment {
    Standalone(Address),
    Sentinel { sentinels: Vec<Address>, service: String, login: Login },
    Cluster { seeds: Vec<Address> },
}

/// The credentials for a server. With neither field set, no `AUTH` is sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl RedisConfig {
    /// Parses a URL as redis-py does.
    ///
    /// | URL | deployment |
    /// |---|---|
    /// | `redis://[[user]:[password]@][host][:port][/db]` | one server; by default `localhost`, 6379 and database 0 |
    /// | `rediss://…` | the same over TLS |
    /// | `unix://[[user]:[password]@]/path.sock[?db=0]` | one server on a Unix socket |
    /// | `redis+sentinel://…@h1:26379,h2:26379/SERVICE[/db]` | the primary that the Sentinels name; `?sentinel_username=` and `?sentinel_password=` log in to them |
    /// | `redis+cluster://…@h1:6379,h2:6379` | a Cluster, discovered from any of its nodes |
    /// | `rediss+sentinel://…`, `rediss+cluster://…` | the same over TLS |
    ///
    /// Options in the query: `db`, `username`, `password`, `host`, `port`, `protocol` (2 or 3), `client_name`,
    /// `socket_timeout`, `socket_connect_timeout`, `socket_keepalive`, `health_check_interval`, `ssl_cert_reqs` (`none`,
    /// `optional`, `required`), `ssl_check_hostname`, `ssl_ca_certs`, `ssl_ca_path`, `ssl_certfile`, `ssl_keyfile`,
    /// `ssl_min_version`. [`warnings`](Self::warnings) lists any other.
    ///
    /// # Errors
    ///
    /// `is_invalid`, naming the invalid part. A database that is not a number is invalid, although redis-py ignores it.
    pub fn from_url(url: &str) -> Result<Self> {
        url_options::read(url::Url::parse(url)?)
    }

    /// Returns a warning for each option of the URL that is ignored or has a different effect here. A program should log
    /// them at its start.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Sets the prefix of all keys: 1 to 64 bytes of printable ASCII without spaces and braces. Default: `tidecast`.
    ///
    /// # Errors
    ///
    /// `is_invalid` for any other text. Braces would decide on the slot of a key in a Cluster.
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

    /// Sets whether events are published on their channel's plain name, where Flask-SSE receives them. Default: yes.
    #[must_use]
    pub fn compat(mut self, compat: bool) -> Self {
        self.compat = compat;
        self
    }

    /// Sets the format of events on the plain name. Default: [`PlainFormat::Object`].
    #[must_use]
    pub fn plain_format(mut self, format: PlainFormat) -> Self {
        self.plain_format = format;
        self
    }

    /// Sets the number of events of a channel that Redis retains, approximately. Default: 10,000; 0 retains none.
    #[must_use]
    pub fn history_events_max(mut self, events: usize) -> Self {
        self.history_events_max = events;
        self
    }

    /// Sets how long Redis retains an event, approximately. Default: 1 hour; zero retains none.
    #[must_use]
    pub fn history_age_max(mut self, age: Duration) -> Self {
        self.history_age_max = age;
        self
    }

    /// Sets how long a channel's position counter outlives its last event. Default: 24 hours. A value below
    /// [`history_age_max`](Self::history_age_max), zero included, is raised to it.
    #[must_use]
    pub fn idle_age_max(mut self, age: Duration) -> Self {
        self.idle_age_max = age;
        self
    }

    /// Sets the time-out of a command, including connecting, waiting in the queue and all attempts. Default: the URL's
    /// `socket_timeout`, or 5 seconds. The minimum is a millisecond.
    #[must_use]
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// Sets the time-out of a connect, including TLS and login. Default: the URL's `socket_connect_timeout`, or 5
    /// seconds. The minimum is a millisecond.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// Sets how long a pub/sub connection may be silent before it is probed. Default: the URL's `health_check_interval`,
    /// or 15 seconds; zero never probes.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// Sets the time-out of a probe and of a subscription. Default: 5 seconds. The minimum is a millisecond.
    #[must_use]
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// Sets how often the logs of channels without traffic are compared with Redis. Default: 30 seconds; zero never
    /// compares them.
    #[must_use]
    pub fn compare_interval(mut self, interval: Duration) -> Self {
        self.compare_interval = interval;
        self
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.deployment, Deployment::Cluster { .. })
    }

    pub(crate) fn channel_kind(&self) -> ChannelKind {
        if !self.compat && self.is_cluster() { ChannelKind::Sharded } else { ChannelKind::Plain }
    }

    /// Returns whether Redis retains events at all.
    pub(crate) fn keeps_history(&self) -> bool {
        self.history_events_max > 0 && !self.history_age_max.is_zero()
    }

    /// Returns how long a channel's counter outlives its last event: at least as long as the events it counts.
    pub(crate) fn counter_age_max(&self) -> Duration {
        self.idle_age_max.max(self.history_age_max)
    }

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
    /// Returns the password to send. Redis requires one with a user name; like redis-py, this sends an empty one.
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
