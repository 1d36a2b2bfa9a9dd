//! Decides whether a request may publish, look or change something: the publish key, what stands in for it if there is
//! none, and which hosts and pages are answered.
//!
//! [`gate`](crate::auth::ticket_layer) decides on streams, and asks here.
//!
//! Without a key publishing is for programs on this machine. A browser on it must not do it for any page that it shows,
//! so a request must name this machine as its host (else a name that an attacker's DNS points here would do), and what
//! changes something must come from a page of the hub's own, from an origin that was allowed, or from no page. On any other
//! address `allowed_hosts` guards against such names.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use subtle::ConstantTimeEq;

use crate::{
    auth::{
        pattern::Pattern,
        refusal::{Cause, Refusal, Refusals},
    },
    config::{AccessConfig, Secret},
    observe::metrics::Counters,
};

/// Where the page that asks is, as its browser sees it. Constants, as a name that is text would be parsed at each look.
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// What anybody may have who can reach the hub: the console's page. A stream has more said about it by its gate.
    Subscribe,
    /// What tells about others: channels, metrics.
    Inspect,
    /// To publish, to forget a channel.
    Publish,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Access {
    key: Option<Secret>,
    guards_host: bool,
    /// How most clients on this machine name the hub, which then need not be taken apart.
    own_hosts: [String; 2],
    /// Names by which others may ask; empty for any.
    allowed_hosts: Vec<Pattern>,
    origins: Vec<HeaderValue>,
    pub(crate) refusals: Refusals,
}

impl Access {
    pub(crate) fn new(config: &AccessConfig, address: SocketAddr, counters: Arc<Counters>) -> Self {
        let on_loopback = address.ip().is_loopback();
        Self {
            guards_host: config.publish_key.is_none() && !config.open_publish && on_loopback,
            own_hosts: [address.to_string(), format!("localhost:{}", address.port())],
            key: config.publish_key.clone(),
            allowed_hosts: config.allowed_hosts.clone(),
            origins: config.cors_origins.clone(),
            refusals: Refusals::new(counters),
        }
    }

    /// Decides on a request.
    pub(crate) fn check(&self, permission: Permission, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.guards_host || !self.allowed_hosts.is_empty() {
            self.check_host(headers)?;
        }
        if permission == Permission::Subscribe {
            return Ok(());
        }
        match &self.key {
            Some(_) => self.check_key(headers),
            None if permission == Permission::Publish => self.check_origin(headers),
            None => self.check_site(headers),
        }
    }

    /// Returns whether this is the publish key: in constant time, so that the answer's delay does not tell how much of a
    /// guess was right.
    pub(crate) fn is_key(&self, given: &[u8]) -> bool {
        self.key.as_ref().is_some_and(|key| given.ct_eq(key.as_bytes()).into())
    }

    /// Returns whether something that was sent as the publish key may be a guess at it: it is not the key, and it does not
    /// look like a ticket, or the key itself does.
    pub(crate) fn is_guess(&self, given: &[u8]) -> bool {
        self.key.as_ref().is_some_and(|key| !self.is_key(given) && (!is_token(given) || is_token(key.as_bytes())))
    }

    fn check_key(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer);
        match given {
            Some(given) if self.is_key(given) => Ok(()),
            Some(given) if !self.is_guess(given) => Err(Refusal::new(
                Cause::TokenForKey,
                "this needs the publish key, and what was sent is a token: a ticket opens streams only",
            )),
            Some(_) => Err(Refusal::new(Cause::KeyWrong, "the publish key is wrong")),
            None => Err(Refusal::new(
                Cause::KeyMissing,
                "the publish key is missing: send it as `Authorization: Bearer KEY`",
            )),
        }
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let is_ours = hosts.next().is_some_and(|host| {
            self.own_hosts.iter().any(|own| host == own.as_str())
                || host.to_str().is_ok_and(|host| names_this_machine(host) || self.allows_host(host))
        });
        // One that is given twice could mean one thing here and another to a proxy.
        if is_ours && hosts.next().is_none() {
            return Ok(());
        }
        Err(Refusal::new(
            Cause::Host,
            if self.guards_host && self.allowed_hosts.is_empty() {
                "this hub has no publish key, so it answers only to `localhost` and loopback addresses; behind a proxy, \
                 give it a key with --publish-key"
            } else {
                "the `Host` is not one that this hub answers to: start it with --allowed-hosts HOST to add it"
            },
        ))
    }

    /// Returns whether a host is named by `allowed_hosts`, with its port or without.
    fn allows_host(&self, host: &str) -> bool {
        if self.allowed_hosts.is_empty() {
            return false;
        }
        let Some(name) = name_of(host) else { return false };
        let (name, whole) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
        self.allowed_hosts.iter().any(|allowed| allowed.matches(&name) || allowed.matches(&whole))
    }

    /// Lets what changes something through from the hub's own pages, from allowed origins, and from no page.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match headers.get(header::ORIGIN) {
            Some(origin) => self.check_named_origin(origin, headers, "do this"),
            // A browser names the origin with whatever changes something; without it, this is still no page of ours.
            None if is_of_others(headers) => Err(unnamed_origin()),
            None => Ok(()),
        }
    }

    /// Lets what reads through from the hub's own pages, from allowed origins, and from no page: an `<img>` or a WebSocket of
    /// another site can't read the answer, but would have it take a place.
    pub(crate) fn check_site(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        // A browser says this itself, and no page can. A proxy may have changed the host, to which the origin is compared.
        if headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "same-origin" || site == "none") {
            return Ok(());
        }
        match headers.get(header::ORIGIN) {
            Some(origin) => self.check_named_origin(origin, headers, "read this without a ticket"),
            // A link that somebody follows is let through; a frame is not.
            None if is_of_others(headers) && !is_followed_link(headers) => Err(unnamed_origin()),
            None => Ok(()),
        }
    }

    fn check_named_origin(&self, origin: &HeaderValue, headers: &HeaderMap, what: &str) -> Result<(), Refusal> {
        let own = headers.get(header::HOST).is_some_and(|host| is_own(origin.as_bytes(), host.as_bytes()));
        if own || self.origins.contains(origin) {
            return Ok(());
        }
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let why = if origin == "null" {
            format!(
                "a page whose origin is `null`, because it was opened as a file or in a sandbox, may not {what}; serve it \
                 over http"
            )
        } else {
            format!("a page of {origin} may not {what}; start the hub with --cors-origin {origin} to allow it")
        };
        Err(Refusal::new(Cause::Origin, why))
    }
}

/// Returns whether a browser asks on behalf of a page of another origin: of another site, or of another name of the same.
fn is_of_others(headers: &HeaderMap) -> bool {
    headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn is_followed_link(headers: &HeaderMap) -> bool {
    headers.get(&SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
        && headers.get(&SEC_FETCH_DEST).is_some_and(|destination| destination == "document")
}

/// Returns the refusal of a request whose page's origin its browser does not name, as for an `<img>`.
fn unnamed_origin() -> Refusal {
    Refusal::new(
        Cause::Origin,
        "a page of another origin asked for this (`Sec-Fetch-Site`): only the hub's own pages, programs, and pages of an \
         origin that --cors-origin allows may",
    )
}

/// The layer that asks [`Access`].
pub(crate) async fn guard(
    State((access, permission)): State<(Arc<Access>, Permission)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(permission, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => access.refusals.answer(peer, refusal).await,
    }
}

/// Returns whether this has the form of a JSON Web Token: three parts in base64, the first of which begins with `{"`.
fn is_token(text: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts = || text.split(|byte| *byte == b'.');
    text.starts_with(b"eyJ")
        && parts().count() == 3
        && parts().all(|part| !part.is_empty() && part.iter().all(is_base64))
}

/// Returns the token of an `Authorization` value with the scheme `Bearer`.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Returns the part of a `Host` before its port; `None` if it is no host, or its port is not a number from 1 to 65535.
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

/// Whether a page's origin is the host that the request names.
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    let after_scheme = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    after_scheme.is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::{is_own, names_this_machine};

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

    #[test]
    fn an_origin_is_own_only_if_host_and_port_are() {
        assert!(is_own(b"http://localhost:8000", b"localhost:8000"));
        assert!(is_own(b"https://hub.example", b"HUB.example"));
        for origin in
            [&b"null"[..], b"", b"http://localhost:5000", b"http://localhost:8000.evil.example", b"localhost:8000"]
        {
            assert!(!is_own(origin, b"localhost:8000"));
        }
    }
}
