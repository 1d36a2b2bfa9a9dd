//! How to reach a Redis, and what to keep there.
//!
//! A [`RedisConfig`] is parsed once, at start; nothing after it looks at a URL again. It opens nothing.

use std::time::Duration;

/// See the module.
#[derive(Clone)]
pub struct RedisConfig {
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
    pub(crate) db: u32,
}

/// How an event is written on the plain channel, for programs that know nothing of Tidecast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlainFormat {
    /// `{"data": …, "type": …}`, which Flask-SSE of PyPI reads.
    #[default]
    Object,
    /// `[type, data]`, which the older extension of that name reads.
    Array,
}

impl RedisConfig {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// `is_invalid`, naming what is wrong.
    pub fn from_url(url: &str) -> tidecast::Result<Self> {
        let _ = url;
        unimplemented!()
    }

    /// What in the URL means nothing here, each a sentence's worth, to be logged at start.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &[]
    }
}
