//! The settings of the broker: memory, or a Redis that hubs share.
//!
//! `tidecast-redis` parses the URL. A setting beside the URL overrides it; one that is not set leaves the URL's value or the
//! crate's default, which a test compares with the declared one.

use std::{fmt, sync::Arc};

use tidecast::broker::{Broker, MemoryBroker, Metric};
use tidecast_redis::{PlainFormat, RedisBroker, RedisConfig, RedisStats};

use super::{
    reader::{SettingReader, parse_count, parse_switch},
    spec::{OptionSpec, ValueKind},
    units::parse_duration,
};

/// The broker that carries the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrokerConfig {
    /// Events are lost when the hub ends.
    Memory,
    Redis {
        redis: Box<RedisConfig>,
        /// The source of the URL, for messages.
        source: String,
    },
}

impl BrokerConfig {
    /// Reads the settings of Redis. Those beside the URL are checked also if there is no URL.
    pub(super) fn read(reader: &mut SettingReader<'_>) -> Self {
        let url = reader.value("redis", |url| RedisConfig::from_url(url).map_err(|error| error.to_string()));
        let placeholder = || RedisConfig::from_url("redis://").ok();
        let given = url.is_some();
        let Some(redis) = url.or_else(placeholder) else { return Self::Memory };

        let mut overrides = Overrides { reader, redis };
        overrides.apply("redis_prefix", parse_text, RedisConfig::prefix);
        overrides.apply("redis_compat", parse_switch, |redis, compat| Ok(redis.compat(compat)));
        overrides.apply("redis_plain_format", parse_format, |redis, format| Ok(redis.plain_format(format)));
        overrides.apply("redis_history_events", parse_count, |redis, events| Ok(redis.history_events_max(events)));
        overrides.apply("redis_history_age", parse_duration, |redis, age| Ok(redis.history_age_max(age)));
        overrides.apply("redis_idle_age", parse_duration, |redis, age| Ok(redis.idle_age_max(age)));
        overrides.apply("redis_connect_timeout", parse_duration, |redis, time| Ok(redis.connect_timeout(time)));
        overrides.apply("redis_command_timeout", parse_duration, |redis, time| Ok(redis.command_timeout(time)));
        overrides.apply("redis_probe_interval", parse_duration, |redis, time| Ok(redis.probe_interval(time)));
        overrides.apply("redis_probe_timeout", parse_duration, |redis, time| Ok(redis.probe_timeout(time)));
        overrides.apply("redis_compare_interval", parse_duration, |redis, time| Ok(redis.compare_interval(time)));
        let redis = Box::new(overrides.redis);
        if given { Self::Redis { redis, source: reader.settings.source("redis") } } else { Self::Memory }
    }

    /// Builds the broker, within a runtime. If Redis cannot be reached, the broker keeps trying.
    pub(crate) fn build(&self) -> tidecast::Result<Arc<dyn Broker>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryBroker::new()),
            Self::Redis { redis, .. } => Arc::new(RedisBroker::new(RedisConfig::clone(redis))?),
        })
    }

    /// Returns the metrics of each kind of broker that has some, by its name. The values are those of a broker that has just
    /// started.
    pub(crate) fn declared_metrics() -> Vec<(&'static str, Vec<Metric>)> {
        vec![("Redis", RedisStats::default().metrics())]
    }

    /// Returns a warning for each unknown parameter of the URL, with the source of the URL.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            Self::Memory => Vec::new(),
            Self::Redis { redis, source } => {
                redis.warnings().iter().map(|warning| format!("{source}: {warning}")).collect()
            }
        }
    }
}

/// Shows the URL with its password masked.
impl fmt::Display for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Redis { redis, source } => write!(f, "redis {redis} (from {source})"),
        }
    }
}

/// Returns the form in which a value may be shown, if it has a secret.
pub(super) fn masked(option: &OptionSpec, value: &str) -> Option<String> {
    match option.kind {
        ValueKind::Secret => Some("(masked)".to_owned()),
        ValueKind::Redis => match RedisConfig::from_url(value) {
            Ok(redis) => Some(redis.to_string()).filter(|shown| shown.contains("***")),
            Err(_) => Some("(masked)".to_owned()),
        },
        _ => None,
    }
}

/// The settings beside the URL, which override it one by one.
struct Overrides<'a, 'b> {
    reader: &'a mut SettingReader<'b>,
    redis: RedisConfig,
}

impl Overrides<'_, '_> {
    /// Applies a setting if it is set.
    fn apply<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        put: impl Fn(RedisConfig, T) -> tidecast::Result<RedisConfig>,
    ) {
        if self.reader.settings.find(key).is_none() {
            return;
        }
        let redis = self.redis.clone();
        let parsed = |text: &str| put(redis.clone(), parse(text)?).map_err(|error| error.to_string());
        if let Some(redis) = self.reader.value(key, parsed) {
            self.redis = redis;
        }
    }
}

fn parse_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn parse_format(text: &str) -> Result<PlainFormat, String> {
    match text {
        "object" => Ok(PlainFormat::Object),
        "array" => Ok(PlainFormat::Array),
        _ => Err(format!("{text:?} is neither `object` nor `array`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, OPTIONS, Settings};

    #[test]
    fn settings_of_redis_are_checked_also_without_a_url() {
        assert!(matches!(Config::from_settings(&Settings::default()).unwrap().broker, BrokerConfig::Memory));
        let prefixed = Settings::of_flags(&[("redis_prefix", "news"), ("redis_compat", "false")]);
        assert!(matches!(Config::from_settings(&prefixed).unwrap().broker, BrokerConfig::Memory));
        let wrong = [
            ("redis_prefix", "{"),
            ("redis_compat", "perhaps"),
            ("redis_plain_format", "xml"),
            ("redis_command_timeout", "0"),
            ("redis_probe_interval", "soon"),
        ];
        let errors = Config::from_settings(&Settings::of_flags(&wrong)).unwrap_err();
        let flags: Vec<_> = errors.iter().filter_map(|error| error.split(':').next()).collect();
        let expected = [
            "--redis-prefix",
            "--redis-compat",
            "--redis-plain-format",
            "--redis-command-timeout",
            "--redis-probe-interval",
        ];
        assert_eq!(flags, expected, "{errors:?}");
    }

    #[test]
    fn an_invalid_url_is_reported_with_its_source_and_without_its_password() {
        for url in ["http://:hunter2@localhost", "redis://:hunter2@localhost:port", "", "localhost"] {
            let errors = Config::from_settings(&Settings::of_flags(&[("redis", url)])).unwrap_err();
            assert!(errors.len() == 1 && errors[0].starts_with("--redis: "), "{errors:?}");
            assert!(!errors[0].contains("hunter2"), "{errors:?}");
        }
    }

    #[test]
    fn the_declared_defaults_are_those_of_the_crate() {
        let plain = [("redis", "redis://localhost:6379/0")];
        let options = OPTIONS.iter().filter(|option| option.key.starts_with("redis_"));
        let explicit: Vec<_> = plain.into_iter().chain(options.map(|option| (option.key, option.default))).collect();
        let broker = |pairs: &[(&str, &str)]| Config::from_settings(&Settings::of_flags(pairs)).unwrap().broker;
        assert_eq!(broker(&explicit), broker(&plain));
        // A difference is seen, though `Display` shows the URL only.
        assert_ne!(broker(&[plain[0], ("redis_history_events", "7")]), broker(&plain));
    }
}
