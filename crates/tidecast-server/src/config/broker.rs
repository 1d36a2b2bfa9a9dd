//! What carries the events: this process' memory, or a Redis that many share.
//!
//! What a URL means is known by `tidecast-redis`; here it is only told where the URL came from, and what was set beside
//! it. A setting that was not given leaves what the URL says, or the default of the crate, which a test compares.

use std::{fmt, sync::Arc};

use tidecast::broker::{Broker, MemoryBroker, Metric};
use tidecast_redis::{PlainFormat, RedisBroker, RedisConfig, RedisStats};

use super::{Kind, OptionSpec, Reader, parse_count, parse_duration, parse_switch};

/// What carries the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrokerConfig {
    /// Nothing outlives the hub.
    Memory,
    Redis {
        redis: Box<RedisConfig>,
        /// Where the URL came from, in words.
        source: String,
    },
}

impl BrokerConfig {
    /// Reads all that is about Redis. What is set beside a URL that is not there is checked all the same.
    pub(super) fn read(read: &mut Reader<'_>) -> Self {
        let url = read.value("redis", |url| RedisConfig::from_url(url).map_err(|error| error.to_string()));
        let stand_in = || RedisConfig::from_url("redis://").ok();
        let given = url.is_some();
        let Some(redis) = url.or_else(stand_in) else { return Self::Memory };

        let mut setting = Overrides { read, redis };
        setting.take("redis_prefix", parse_text, RedisConfig::prefix);
        setting.take("redis_compat", parse_switch, |redis, compat| Ok(redis.compat(compat)));
        setting.take("redis_plain_format", parse_format, |redis, format| Ok(redis.plain_format(format)));
        setting.take("redis_history_events", parse_count, |redis, events| Ok(redis.history_events_max(events)));
        setting.take("redis_history_age", parse_duration, |redis, age| Ok(redis.history_age_max(age)));
        setting.take("redis_idle_age", parse_duration, |redis, age| Ok(redis.idle_age_max(age)));
        setting.take("redis_connect_timeout", parse_duration, |redis, time| Ok(redis.connect_timeout(time)));
        setting.take("redis_command_timeout", parse_duration, |redis, time| Ok(redis.command_timeout(time)));
        setting.take("redis_probe_interval", parse_duration, |redis, time| Ok(redis.probe_interval(time)));
        setting.take("redis_probe_timeout", parse_duration, |redis, time| Ok(redis.probe_timeout(time)));
        setting.take("redis_compare_interval", parse_duration, |redis, time| Ok(redis.compare_interval(time)));
        let redis = Box::new(setting.redis);
        if given { Self::Redis { redis, source: read.settings.origin("redis") } } else { Self::Memory }
    }

    /// Builds the broker, within a runtime. A Redis that cannot be reached is no error: the broker keeps trying.
    pub(crate) fn build(&self) -> tidecast::Result<Arc<dyn Broker>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryBroker::new()),
            Self::Redis { redis, .. } => Arc::new(RedisBroker::new(RedisConfig::clone(redis))?),
        })
    }

    /// Returns the metrics of every broker that has some, by the broker's name, as a broker has them that has just
    /// started.
    pub(crate) fn declared_metrics() -> Vec<(&'static str, Vec<Metric>)> {
        vec![("Redis", RedisStats::default().metrics())]
    }

    /// What in the URL says nothing to us, each with where it came from.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            Self::Memory => Vec::new(),
            Self::Redis { redis, source } => {
                redis.warnings().iter().map(|warning| format!("{source}: {warning}")).collect()
            }
        }
    }
}

/// The password masked.
impl fmt::Display for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Redis { redis, source } => write!(f, "redis {redis} (from {source})"),
        }
    }
}

/// A value of an option as it may be shown, where it is not what was set.
pub(super) fn masked(option: &OptionSpec, value: &str) -> Option<String> {
    match option.kind {
        Kind::Secret => Some("(masked)".to_owned()),
        Kind::Redis => match RedisConfig::from_url(value) {
            Ok(redis) => Some(redis.to_string()).filter(|shown| shown.contains("***")),
            Err(_) => Some("(masked)".to_owned()),
        },
        _ => None,
    }
}

/// What is set beside the URL, put in one after the other.
struct Overrides<'a, 'b> {
    read: &'a mut Reader<'b>,
    redis: RedisConfig,
}

impl Overrides<'_, '_> {
    /// Puts in a setting that was given. One that was not may be what the URL says.
    fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        put: impl Fn(RedisConfig, T) -> tidecast::Result<RedisConfig>,
    ) {
        if self.read.settings.find(key).is_none() {
            return;
        }
        let redis = self.redis.clone();
        let parsed = |text: &str| put(redis.clone(), parse(text)?).map_err(|error| error.to_string());
        if let Some(redis) = self.read.value(key, parsed) {
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
    use crate::config::{Config, OPTIONS, Setting, Settings, Source};

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            let option = OPTIONS.iter().find(|option| option.key == *key).expect("a known key");
            settings.add(option, Setting { values: vec![(*value).to_owned()], source: Source::Flag(option.flag()) });
        }
        settings
    }

    #[test]
    fn without_a_url_it_is_memory_and_what_is_beside_is_checked() {
        assert!(matches!(Config::from_settings(&Settings::default()).unwrap().broker, BrokerConfig::Memory));
        let prefixed = settings(&[("redis_prefix", "news"), ("redis_compat", "false")]);
        assert!(matches!(Config::from_settings(&prefixed).unwrap().broker, BrokerConfig::Memory));
        let wrong = [
            ("redis_prefix", "{"),
            ("redis_compat", "perhaps"),
            ("redis_plain_format", "xml"),
            ("redis_command_timeout", "0"),
            ("redis_probe_interval", "soon"),
        ];
        let mistakes = Config::from_settings(&settings(&wrong)).unwrap_err();
        let flags: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        let expected = [
            "--redis-prefix",
            "--redis-compat",
            "--redis-plain-format",
            "--redis-command-timeout",
            "--redis-probe-interval",
        ];
        assert_eq!(flags, expected, "{mistakes:?}");
    }

    #[test]
    fn a_url_that_is_wrong_is_told_with_where_it_came_from_and_without_its_password() {
        for url in ["http://:hunter2@localhost", "redis://:hunter2@localhost:port", "", "localhost"] {
            let mistakes = Config::from_settings(&settings(&[("redis", url)])).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].starts_with("--redis: "), "{mistakes:?}");
            assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
        }
    }

    #[test]
    fn the_defaults_that_are_declared_are_those_of_the_crate() {
        let plain = [("redis", "redis://localhost:6379/0")];
        let options = OPTIONS.iter().filter(|option| option.key.starts_with("redis_"));
        let explicit: Vec<_> = plain.into_iter().chain(options.map(|option| (option.key, option.default))).collect();
        let broker = |pairs: &[(&str, &str)]| Config::from_settings(&settings(pairs)).unwrap().broker;
        assert_eq!(broker(&explicit), broker(&plain));
        // What differs is seen: whatever is printed of both is only the URL.
        assert_ne!(broker(&[plain[0], ("redis_history_events", "7")]), broker(&plain));
    }
}
