//! The settings of access: the keys, tickets, and the hosts and origins that are allowed.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::HeaderValue;
use tidecast::Channel;

use super::{
    broker::BrokerConfig,
    reader::{SettingReader, parse_key, parse_origin, parse_pattern, parse_switch},
    sources::Settings,
};
use crate::{
    auth::{pattern::Pattern, ticket::TicketKey},
    limits::TICKET_SECRET_BYTES_MIN,
};

/// The settings of access.
#[derive(Debug, Clone)]
pub(crate) struct AccessConfig {
    pub(crate) publish_key: Option<Secret>,
    ticket_key: Option<Secret>,
    pub(crate) open_publish: bool,
    pub(crate) anonymous: Anonymous,
    /// Empty if every host is allowed.
    pub(crate) allowed_hosts: Vec<Pattern>,
    pub(crate) cors_origins: Vec<HeaderValue>,
    /// The key that tickets are checked with; `None` if no channel needs a ticket, or there is no key.
    pub(crate) ticket_verifier: Option<Arc<TicketKey>>,
    /// Warnings about valid settings that are probably not intended.
    pub(super) warnings: Vec<String>,
}

/// The channels whose streams need neither a ticket nor the publish key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// Every channel; tickets are not checked.
    All,
    /// The channels that match a pattern.
    Only(Vec<Pattern>),
}

/// A secret. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl AccessConfig {
    /// Reads the settings of access, and checks them against the others.
    pub(super) fn read(reader: &mut SettingReader<'_>, listen: SocketAddr, broker: &BrokerConfig) -> Self {
        let settings = reader.settings;
        let tickets = reader.switch("tickets");
        let anonymous = reader.values("anonymous_subscribe", parse_pattern);
        let anonymous = match settings.find("anonymous_subscribe") {
            None if tickets => Anonymous::Only(Vec::new()),
            None => Anonymous::All,
            Some(setting) if !tickets && setting.values.iter().any(|text| text == "*") => Anonymous::All,
            Some(_) => Anonymous::Only(anonymous),
        };
        let mut access = Self {
            publish_key: reader.value("publish_key", parse_key).map(Secret),
            ticket_key: reader.value("ticket_key", parse_key).map(Secret),
            open_publish: reader.switch("open_publish"),
            anonymous,
            allowed_hosts: reader.values("allowed_hosts", |text| parse_pattern(&text.to_ascii_lowercase())),
            cors_origins: reader.values("cors_origin", parse_origin),
            ticket_verifier: None,
            warnings: Vec::new(),
        };
        access.ticket_verifier = access.ticket_secret().map(|secret| Arc::new(TicketKey::derive(secret.as_bytes())));

        if access.publish_key.is_some() && access.open_publish {
            let why = "publish_key and open_publish contradict each other: set one of them";
            reader.add_error("publish_key", why.to_owned());
        }
        if tickets && settings.find("publish_key").or(settings.find("ticket_key")).is_none() {
            let why = format!(
                "{}: tickets are signed with a key: set --ticket-key KEY (or TIDECAST_TICKET_KEY), or --publish-key KEY \
                 (or TIDECAST_PUBLISH_KEY)",
                settings.source("tickets")
            );
            reader.add_error("tickets", why);
        }
        access.check_key_lengths(reader);
        if settings.find("publish_key").is_none() && !access.open_publish && !listen.ip().is_loopback() {
            let why = format!(
                "{}: {listen} is not a loopback address, so every client could publish: set --publish-key KEY (or \
                 TIDECAST_PUBLISH_KEY), or --open-publish",
                settings.source("listen")
            );
            reader.add_error("listen", why);
        }
        if matches!(broker, BrokerConfig::Redis { .. })
            && access.anonymous == Anonymous::All
            && settings.find("anonymous_subscribe").is_none()
            && receives_foreign_events(settings)
        {
            access.warnings.push(format!(
                "{}: every client of this hub can read every pub/sub channel of that Redis, also those of other programs; \
                 name the channels that are public by --anonymous-subscribe PATTERN (`*` for all of them)",
                settings.source("redis")
            ));
        }
        access
    }

    /// Returns the secret that tickets are signed with, if a channel needs a ticket and there is a key.
    fn ticket_secret(&self) -> Option<&Secret> {
        let secret = self.ticket_key.as_ref().or(self.publish_key.as_ref());
        secret.filter(|_| self.anonymous != Anonymous::All)
    }

    /// Checks the length of the keys. A key that signs tickets can be searched for offline, by everybody who has seen a
    /// ticket, so a short one is an error. Other keys can be tried only against the hub, so a short one is a warning.
    fn check_key_lengths(&mut self, reader: &mut SettingReader<'_>) {
        let mut warnings = Vec::new();
        let signs = |secret: &Secret| self.ticket_secret().is_some_and(|used| std::ptr::eq(used, secret));
        for (key, secret) in [("publish_key", &self.publish_key), ("ticket_key", &self.ticket_key)] {
            let Some(secret) = secret.as_ref().filter(|secret| secret.0.len() < TICKET_SECRET_BYTES_MIN) else {
                continue;
            };
            let (source, length) = (reader.settings.source(key), secret.0.len());
            let remedy = format!(
                "use {TICKET_SECRET_BYTES_MIN} bytes or more, such as `openssl rand -hex 32` prints, or \
                 `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`"
            );
            if signs(secret) {
                let why = format!(
                    "{source}: the key has {length} bytes and signs tickets: a short key can be found from any ticket; \
                     {remedy}"
                );
                reader.add_error(key, why);
            } else {
                warnings
                    .push(format!("{source}: the key has {length} bytes, and a short key can be guessed; {remedy}"));
            }
        }
        self.warnings.extend(warnings);
    }
}

impl Anonymous {
    /// Returns whether a stream of a channel needs neither a ticket nor the publish key.
    pub(crate) fn allows(&self, channel: &Channel) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(channel.as_str())),
        }
    }
}

impl Secret {
    #[cfg(test)]
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns whether the hub delivers what other programs publish on Redis.
fn receives_foreign_events(settings: &Settings) -> bool {
    let compat = settings.find("redis_compat").and_then(|setting| setting.values.first());
    compat.is_none_or(|text| parse_switch(text) != Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, document};

    /// A key of the minimum length for signing tickets.
    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn config(flags: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        Config::from_settings(&Settings::of_flags(flags))
    }

    #[test]
    fn a_public_address_needs_a_key_or_open_publish() {
        for (key, value) in [("publish_key", "secret"), ("open_publish", "true")] {
            assert!(config(&[("listen", "192.0.2.1:80"), (key, value)]).is_ok());
        }
        let errors = config(&[("listen", "192.0.2.1:80")]).unwrap_err();
        assert!(errors[0].contains("set --publish-key"), "{errors:?}");
        assert_eq!(config(&[("publish_key", "secret"), ("open_publish", "true")]).unwrap_err().len(), 1);
    }

    #[test]
    fn tickets_need_a_key() {
        for key in ["publish_key", "ticket_key"] {
            let config = config(&[("tickets", "true"), (key, KEY)]).unwrap();
            assert!(config.access.ticket_verifier.is_some() && config.warnings().is_empty());
        }
        assert!(config(&[("publish_key", KEY)]).unwrap().access.ticket_verifier.is_none());
        let errors = config(&[("tickets", "true")]).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with("--tickets: "), "{errors:?}");
        // An invalid key is one error and not two.
        let errors = config(&[("tickets", "true"), ("publish_key", "two words")]).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with("--publish-key: "), "{errors:?}");
    }

    /// A key of one letter was accepted, and found from a ticket in four seconds.
    #[test]
    fn a_short_key_signs_no_tickets() {
        let short = &KEY[1..];
        for flags in [
            &[("tickets", "true"), ("publish_key", short)][..],
            &[("tickets", "true"), ("publish_key", KEY), ("ticket_key", short)],
            &[("anonymous_subscribe", "news"), ("publish_key", short)],
        ] {
            let errors = config(flags).unwrap_err();
            assert!(errors.len() == 1 && errors[0].contains("has 31 bytes"), "{errors:?}");
            assert!(errors[0].contains("openssl rand -hex 32") && !errors[0].contains(short), "{errors:?}");
        }
        for flags in [
            &[("publish_key", short)][..],
            &[("tickets", "true"), ("ticket_key", KEY), ("publish_key", short)],
            &[("anonymous_subscribe", "*"), ("publish_key", short)],
        ] {
            let warnings = config(flags).unwrap().warnings();
            assert!(warnings.len() == 1 && warnings[0].starts_with("--publish-key: "), "{warnings:?}");
        }
    }

    /// Every client could read every pub/sub channel of the Redis, and no warning said so.
    #[test]
    fn a_hub_on_redis_with_open_channels_warns() {
        let warns = |more: &[(&str, &str)]| {
            let flags = [&[("redis", "redis://localhost"), ("publish_key", KEY)], more].concat();
            !config(&flags).unwrap().warnings().is_empty()
        };
        assert!(warns(&[]));
        for more in [("anonymous_subscribe", "*"), ("anonymous_subscribe", "news/*"), ("tickets", "true")] {
            assert!(!warns(&[more]), "{more:?}");
        }
        assert!(!warns(&[("redis_compat", "false")]));
        assert!(config(&[]).unwrap().warnings().is_empty());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let in_force = |settings: &Settings| document::in_force(settings, &Config::from_settings(settings).unwrap());
        let settings = Settings::of_flags(&[("publish_key", "hunter2"), ("redis", "redis://me:hunter2@localhost/1")]);
        let config = Config::from_settings(&settings).unwrap();
        let shown = in_force(&settings);
        assert!(!format!("{config:?}{}{shown}", config.broker).contains("hunter2"));
        assert!(shown.contains("\n#redis = \"redis://me:***@localhost"), "a masked value is commented out: {shown}");
        // A URL without a password is shown as it is.
        let shown = in_force(&Settings::of_flags(&[("redis", "redis://localhost/1")]));
        assert!(shown.contains("\nredis = \"redis://localhost/1\"  # --redis\n"), "{shown}");
    }
}
