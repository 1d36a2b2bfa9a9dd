//! The `Host` of a request: whether it names this hub.
//!
//! A hub without a publish key answers only to names of this machine. Otherwise an attacker's DNS name that points here
//! would let a web page publish (DNS rebinding). On other addresses `allowed_hosts` guards against such names.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
};

use http::{HeaderMap, header, uri::Authority};

use super::{cause::RefusalCause, refusal::Refusal};
use crate::config::AccessConfig;

/// Checks the `Host` header of requests.
#[derive(Debug)]
pub(super) struct HostCheck {
    on_loopback: bool,
    /// The names that clients on this machine usually send. Comparing them avoids parsing.
    common_names: [String; 2],
}

impl HostCheck {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            on_loopback: address.ip().is_loopback(),
            common_names: [address.to_string(), format!("localhost:{}", address.port())],
        }
    }

    /// Refuses a request whose `Host` is not one of the hub's.
    pub(super) fn check(&self, config: &AccessConfig, headers: &HeaderMap) -> Result<(), Refusal> {
        let needs_local_name = config.publish_key.is_none() && !config.open_publish && self.on_loopback;
        if !needs_local_name && config.allowed_hosts.is_empty() {
            return Ok(());
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let is_known = hosts.next().is_some_and(|host| {
            self.common_names.iter().any(|name| host == name.as_str())
                || host.to_str().is_ok_and(|host| names_this_machine(host) || is_allowed(config, host))
        });
        // A proxy and the hub could each read another one of two `Host` headers.
        if is_known && hosts.next().is_none() {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCause::Host,
            if needs_local_name && config.allowed_hosts.is_empty() {
                "this hub has no publish key, so it answers only to `localhost` and loopback addresses; behind a proxy, \
                 give it a key with --publish-key"
            } else {
                "this hub does not answer to this `Host`: start it with --allowed-hosts HOST to add it"
            },
        ))
    }
}

/// Returns whether `allowed_hosts` names a host, with its port or without.
fn is_allowed(config: &AccessConfig, host: &str) -> bool {
    if config.allowed_hosts.is_empty() {
        return false;
    }
    let Some(name) = name_of(host) else { return false };
    let (name, whole) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    config.allowed_hosts.iter().any(|allowed| allowed.matches(&name) || allowed.matches(&whole))
}

/// Returns the part of a `Host` before its port; `None` if it is not a host, or its port is not a number from 1 to 65535.
fn name_of(host: &str) -> Option<&str> {
    if host.contains('@') {
        return None;
    }
    let (name, port) = host.split_at_checked(host.parse::<Authority>().ok()?.host().len())?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<NonZeroU16>().is_ok();
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

fn names_this_machine(host: &str) -> bool {
    let Some(host) = name_of(host) else { return false };
    let is_local_name = host.eq_ignore_ascii_case("localhost")
        || host.len() > ".localhost".len()
            && host.get(host.len() - ".localhost".len()..).is_some_and(|end| end.eq_ignore_ascii_case(".localhost"));
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    is_local_name || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::names_this_machine;

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in
            ["localhost", "LOCALHOST:8000", "app.localhost:1", "127.0.0.1", "127.8.9.10:80", "[::1]:8000", "[::1]"]
        {
            assert!(names_this_machine(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "xlocalhost",
            ".localhost",
            "10.0.0.1",
            "[::2]",
            "a b",
            "evil@localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "evil.com:a.localhost",
        ] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
