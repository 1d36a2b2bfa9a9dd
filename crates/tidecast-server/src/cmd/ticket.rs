//! `tidecast ticket`: signs a ticket, for a test or for a program without a library for it. It does not contact the hub.

use std::{
    io::{Write, stdout},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidecast::{Channel, limits::SUBSCRIPTION_CHANNELS_MAX};

use super::{
    client::{KEY_VARIABLE, key_from_old_variable},
    exit::{CommandExit, usage_error},
};
use crate::{auth::ticket::TicketKey, config::units::parse_duration, limits::TICKET_SECRET_BYTES_MIN};

/// The arguments of `ticket`.
#[derive(clap::Args)]
pub(super) struct TicketArguments {
    /// Channel that the ticket opens; may be repeated
    #[arg(long = "channel", value_name = "NAME", default_value = "sse")]
    channels: Vec<String>,
    /// Time until the ticket expires, such as `15m`; at least 1s
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "12h")]
    expires_in: Duration,
    /// Print the address of the stream, with the ticket in it, at the hub with this address
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Ticket key of the hub, if it has one. The list of processes shows flags, so prefer the variable
    #[arg(long, value_name = "KEY", env = "TIDECAST_TICKET_KEY", hide_env_values = true)]
    ticket_key: Option<String>,
    /// Publish key of the hub, which signs tickets if the hub has no ticket key. The list of processes shows flags, so prefer
    /// the variable
    #[arg(long = "publish-key", alias = "key", value_name = "KEY", env = KEY_VARIABLE, hide_env_values = true)]
    publish_key: Option<String>,
}

impl std::fmt::Debug for TicketArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketArguments").field("channels", &self.channels).finish_non_exhaustive()
    }
}

/// The end of the help of `ticket`.
pub(super) const AFTER_HELP: &str = "\
    For a hub that runs with --tickets. A ticket is a secret: its bearer can open streams of its channels until it expires, \
    and such a stream may last longer. To revoke all tickets, change the key.";

/// Signs a ticket and prints it.
pub(super) fn run(arguments: &TicketArguments) -> anyhow::Result<CommandExit> {
    let given = [&arguments.ticket_key, &arguments.publish_key].into_iter().flatten().find(|key| !key.is_empty());
    let Some(key) = given.cloned().or_else(key_from_old_variable) else {
        return usage_error(
            "the key is missing: set TIDECAST_TICKET_KEY or --ticket-key, or, if the hub has no ticket key, \
             TIDECAST_PUBLISH_KEY or --publish-key",
        );
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return usage_error("the key must have visible ASCII characters only");
    }
    if key.len() < TICKET_SECRET_BYTES_MIN {
        let length = key.len();
        return usage_error(format!(
            "the key has {length} bytes: a hub accepts only tickets signed with at least {TICKET_SECRET_BYTES_MIN} bytes"
        ));
    }
    let channels: Vec<Channel> = match arguments.channels.iter().map(|name| Channel::new(name)).collect() {
        Ok(channels) => channels,
        Err(error) => return usage_error(error),
    };
    if channels.len() > SUBSCRIPTION_CHANNELS_MAX {
        return usage_error(format!(
            "a ticket for {} channels; at most {SUBSCRIPTION_CHANNELS_MAX} fit",
            channels.len()
        ));
    }
    if arguments.expires_in < Duration::from_secs(1) {
        return usage_error("--for must be at least 1s");
    }
    let expires_at =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(arguments.expires_in);
    let ticket = TicketKey::derive(key.as_bytes()).sign(&channels, expires_at.as_secs());
    let output = match &arguments.url {
        None => ticket,
        Some(url) => match address(url, &channels, &ticket) {
            Some(address) => address,
            None => return usage_error("--url must be `http://HOST`, `https://HOST` or that with a port and a path"),
        },
    };
    writeln!(stdout(), "{output}").context("failed to print")?;
    Ok(CommandExit::Done)
}

fn address(hub: &Uri, channels: &[Channel], ticket: &str) -> Option<String> {
    let is_hub = matches!(hub.scheme_str(), Some("http" | "https")) && hub.query().is_none();
    let (scheme, authority) = (hub.scheme_str().filter(|_| is_hub)?, hub.authority()?);
    let encoded = channels.iter().map(|channel| utf8_percent_encode(channel.as_str(), NON_ALPHANUMERIC));
    let channels: String = encoded.map(|channel| format!("channel={channel}&")).collect();
    // The characters of a ticket need no escape.
    Some(format!("{scheme}://{authority}{}/stream?{channels}ticket={ticket}", hub.path().trim_end_matches('/')))
}
