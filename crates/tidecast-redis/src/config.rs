//! Which Redis, and how it is used. A stand-in until the real one is merged.

use std::{fmt, time::Duration};

use tidecast::{Error, Result};
use url::Url;

/// Which Redis, and how it is used.
#[derive(Clone)]
pub struct RedisConfig {
    url: Url,
    warnings: Vec<String>,
    settings: Vec<String>,
}

/// The shape of what is published on the plain channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlainFormat {
    /// The object that Flask-SSE reads.
    #[default]
    Object,
    /// The array that the older extension reads.
    Array,
}

impl RedisConfig {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// For one that is wrong.
    pub fn from_url(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|_| Error::unavailable("the Redis URL is none"))?;
        if !url.scheme().starts_with("redis") && !["rediss", "unix"].contains(&url.scheme()) {
            return Err(Error::unavailable(format!("the Redis URL's scheme is {}", url.scheme())));
        }
        let known = ["db", "socket_timeout", "protocol"];
        let warnings = url
            .query_pairs()
            .filter(|(name, _)| !known.contains(&&**name))
            .map(|(name, _)| format!("the option {name} means nothing here"))
            .collect();
        Ok(Self { url, warnings, settings: Vec::new() })
    }

    /// What in the URL means nothing.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How keys begin.
    ///
    /// # Errors
    ///
    /// For one that is wrong.
    pub fn prefix(self, prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        if prefix.is_empty() || prefix.contains(['{', '}']) {
            return Err(Error::unavailable("the prefix can't be this"));
        }
        Ok(self.set("prefix", prefix))
    }

    /// Whether Flask-SSE takes part.
    #[must_use]
    pub fn compat(self, compat: bool) -> Self {
        self.set("compat", compat)
    }

    /// In which shape.
    #[must_use]
    pub fn plain_format(self, plain_format: PlainFormat) -> Self {
        self.set("plain_format", plain_format)
    }

    /// Most events kept.
    #[must_use]
    pub fn history_events_max(self, history_events_max: usize) -> Self {
        self.set("history_events_max", history_events_max)
    }

    /// For how long.
    #[must_use]
    pub fn history_age_max(self, history_age_max: Duration) -> Self {
        self.set("history_age_max", history_age_max)
    }

    /// How often a silent connection is probed.
    #[must_use]
    pub fn probe_interval(self, probe_interval: Duration) -> Self {
        self.set("probe_interval", probe_interval)
    }

    /// How long a probe waits.
    #[must_use]
    pub fn probe_timeout(self, probe_timeout: Duration) -> Self {
        self.set("probe_timeout", probe_timeout)
    }

    /// How often silent channels are compared.
    #[must_use]
    pub fn compare_interval(self, compare_interval: Duration) -> Self {
        self.set("compare_interval", compare_interval)
    }

    /// How long a command may take.
    #[must_use]
    pub fn command_timeout(self, command_timeout: Duration) -> Self {
        self.set("command_timeout", command_timeout)
    }

    fn set(mut self, name: &str, value: impl fmt::Debug) -> Self {
        self.settings.push(format!("{name}={value:?}"));
        self
    }
}

impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        if url.password().is_some() {
            let _ = url.set_password(Some("***"));
        }
        write!(f, "{url}")
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisConfig({self})")
    }
}
