//! `tidecast ticket`: signs one, for a try or for a program that has no library for it. It asks no hub.

use std::{
    io::{Write, stdout},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidecast::{Channel, limits::SUBSCRIPTION_CHANNELS_MAX};

use super::{Exit, KEY_VARIABLE, key_from_old_variable, usage_error};
use crate::{auth::ticket::TicketKey, config::units::parse_duration, limits::TICKET_SECRET_BYTES_MIN};

/// What `ticket` is told.
#[derive(clap::Args)]
pub(crate) struct TicketArguments {
    /// Channel that it opens; may be given more than once
    #[arg(long = "channel", value_name = "NAME", default_value = "sse")]
    channels: Vec<String>,
    /// How long it opens them, such as `15m`
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "12h")]
    lasts: Duration,
    /// Print the address of the stream with the ticket in it, at a hub with this address
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Key of the hub that tickets are signed with, if it has one beside the publish key. A flag shows in the list of
    /// processes: prefer the variable
    #[arg(long, value_name = "KEY", env = "TIDECAST_TICKET_KEY", hide_env_values = true)]
    ticket_key: Option<String>,
    /// Publish key of the hub, with which tickets are signed if there is no other. A flag shows in the list of processes:
    /// prefer the variable
    #[arg(long = "publish-key", alias = "key", value_name = "KEY", env = KEY_VARIABLE, hide_env_values = true)]
    publish_key: Option<String>,
}

impl std::fmt::Debug for TicketArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketArguments").field("channels", &self.channels).finish_non_exhaustive()
    }
}

/// What the help of `ticket` ends with.
pub(crate) const AFTER_HELP: &str = "\
    For a hub that runs with --tickets. A ticket is a secret: who has it reads its channels until its time is over, and \
    may do so to the end of a stream that was opened before. To take all of them back, change the key.";

/// Prints a ticket.
pub(crate) fn run(arguments: &TicketArguments) -> anyhow::Result<Exit> {
    let given = [&arguments.ticket_key, &arguments.publish_key].into_iter().flatten().find(|key| !key.is_empty());
    let Some(key) = given.cloned().or_else(key_from_old_variable) else {
        return usage_error(
            "a ticket is signed with the hub's ticket key or, if it has none, its publish key: give it by \
             TIDECAST_TICKET_KEY or --ticket-key, or by TIDECAST_PUBLISH_KEY or --publish-key",
        );
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return usage_error("the key that signs must have visible ASCII characters only");
    }
    if key.len() < TICKET_SECRET_BYTES_MIN {
        let length = key.len();
        return usage_error(format!(
            "the key has {length} bytes: no hub takes tickets that are signed with fewer than {TICKET_SECRET_BYTES_MIN}"
        ));
    }
    let channels: Vec<Channel> = match arguments.channels.iter().map(|name| Channel::new(name)).collect() {
        Ok(channels) => channels,
        Err(mistake) => return usage_error(mistake),
    };
    if channels.len() > SUBSCRIPTION_CHANNELS_MAX {
        return usage_error(format!(
            "a ticket for {} channels; at most {SUBSCRIPTION_CHANNELS_MAX} fit",
            channels.len()
        ));
    }
    if arguments.lasts < Duration::from_secs(1) {
        return usage_error("--for must be at least 1s");
    }
    let expires_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(arguments.lasts);
    let ticket = TicketKey::derive(key.as_bytes()).sign(&channels, expires_at.as_secs());
    let shown = match &arguments.url {
        None => ticket,
        Some(url) => match address(url, &channels, &ticket) {
            Some(address) => address,
            None => return usage_error("--url must be `http://HOST`, `https://HOST` or that with a port and a path"),
        },
    };
    writeln!(stdout(), "{shown}").context("failed to print")?;
    Ok(Exit::Done)
}

fn address(hub: &Uri, channels: &[Channel], ticket: &str) -> Option<String> {
    let is_hub = matches!(hub.scheme_str(), Some("http" | "https")) && hub.query().is_none();
    let (scheme, authority) = (hub.scheme_str().filter(|_| is_hub)?, hub.authority()?);
    let encoded = channels.iter().map(|channel| utf8_percent_encode(channel.as_str(), NON_ALPHANUMERIC));
    let channels: String = encoded.map(|channel| format!("channel={channel}&")).collect();
    // A ticket has only letters that need no escape.
    Some(format!("{scheme}://{authority}{}/stream?{channels}ticket={ticket}", hub.path().trim_end_matches('/')))
}
