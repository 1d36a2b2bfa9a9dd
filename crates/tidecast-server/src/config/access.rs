//! The settings of access: the publish key, tickets, and the hosts and pages that are answered.

use std::sync::Arc;

use http::HeaderValue;
use tidecast::Channel;

use super::{Settings, parse_switch};
use crate::{
    auth::{pattern::Pattern, ticket::TicketKey},
    limits::TICKET_SECRET_BYTES_MIN,
};

/// The settings of access.
#[derive(Debug, Clone)]
pub(crate) struct AccessConfig {
    pub(crate) publish_key: Option<Secret>,
    pub(crate) ticket_key: Option<Secret>,
    pub(crate) open_publish: bool,
    pub(crate) anonymous: Anonymous,
    /// Empty for any.
    pub(crate) allowed_hosts: Vec<Pattern>,
    pub(crate) cors_origins: Vec<HeaderValue>,
    /// The key that tickets are checked with; `None` if no channel needs one, or there is no key.
    pub(crate) ticket_verifier: Option<Arc<TicketKey>>,
    /// What is allowed and hardly meant.
    pub(super) warnings: Vec<String>,
}

/// Which channels are read without a ticket or the publish key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// Every channel: tickets are not looked at.
    All,
    /// Those that match a pattern.
    Only(Vec<Pattern>),
}

/// A secret. It is never written, not even for debugging.
#[derive(Clone)]
pub(crate) struct Secret(pub(super) String);

impl AccessConfig {
    /// Derives the key that tickets are checked with from the other settings.
    pub(super) fn derive_ticket_verifier(&mut self) {
        self.ticket_verifier = self.ticket_secret().map(|secret| Arc::new(TicketKey::derive(secret.as_bytes())));
    }

    /// Returns the secret that tickets are signed with, if a channel needs one and there is a key.
    fn ticket_secret(&self) -> Option<&Secret> {
        let secret = self.ticket_key.as_ref().or(self.publish_key.as_ref());
        secret.filter(|_| self.anonymous != Anonymous::All)
    }

    /// Checks the length of the keys. Who sees a ticket can try keys on a machine of its own, so a short one is a mistake
    /// where tickets are looked at; elsewhere it can only be tried here, which is warned of.
    /// Returns the mistakes.
    pub(super) fn check_keys(&mut self, settings: &Settings) -> Vec<String> {
        let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
        let signs = |secret: &Secret| self.ticket_secret().is_some_and(|used| std::ptr::eq(used, secret));
        for (key, secret) in [("publish_key", &self.publish_key), ("ticket_key", &self.ticket_key)] {
            let Some(secret) = secret.as_ref().filter(|secret| secret.0.len() < TICKET_SECRET_BYTES_MIN) else {
                continue;
            };
            let (origin, length) = (settings.origin(key), secret.0.len());
            let remedy = format!(
                "use {TICKET_SECRET_BYTES_MIN} bytes or more, such as `openssl rand -hex 32` prints, or \
                 `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`"
            );
            if signs(secret) {
                mistakes.push(format!(
                    "{origin}: the key has {length} bytes, and tickets are signed with it: a short key can be found from any \
                     ticket; {remedy}"
                ));
            } else {
                warnings
                    .push(format!("{origin}: the key has {length} bytes, and a short key can be guessed; {remedy}"));
            }
        }
        self.warnings = warnings;
        mistakes
    }
}

impl Anonymous {
    /// Returns whether a channel is read without a ticket.
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

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns whether what other programs publish on Redis is heard.
pub(super) fn hears_other_programs(settings: &Settings) -> bool {
    let compat = settings.find("redis_compat").and_then(|setting| setting.values.first());
    compat.is_none_or(|text| parse_switch(text) != Ok(false))
}
