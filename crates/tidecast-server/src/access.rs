//! Who may do what: the publish key, and what stands in for it where there is none.
//!
//! Where streams want a ticket, [`gate`](crate::ticket::gate) stands before them instead.
//!
//! Without a key publishing is for programs on this machine. A browser on it must not do it for any page that it shows,
//! so a request must name this machine as its host (else a name that an attacker's DNS points here would do), and what
//! changes something must come from a page of the hub's own, from an origin that was allowed, or from no page.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority};
use subtle::ConstantTimeEq;
use tidecast_axum::Problem;

use crate::config::{AccessConfig, PublishKey};

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// What anybody may have who can reach the hub: a stream, the console's page.
    Read,
    /// What tells about others: channels, metrics.
    Look,
    /// To publish, to forget a channel.
    Change,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Access {
    key: Option<PublishKey>,
    guards_host: bool,
    /// How most clients on this machine name the hub, which then need not be taken apart.
    own_hosts: [String; 2],
    origins: Vec<HeaderValue>,
}

impl Access {
    pub(crate) fn new(config: &AccessConfig, address: SocketAddr) -> Self {
        let on_loopback = address.ip().is_loopback();
        Self {
            guards_host: config.publish_key.is_none() && !config.open_publish && on_loopback,
            own_hosts: [address.to_string(), format!("localhost:{}", address.port())],
            key: config.publish_key.clone(),
            origins: config.cors_origins.clone(),
        }
    }

    /// Decides on a request.
    pub(crate) fn check(&self, wants: Wants, headers: &HeaderMap) -> Result<(), Problem> {
        if let Some(key) = &self.key {
            return if wants == Wants::Read { Ok(()) } else { check_key(key, headers) };
        }
        if self.guards_host {
            self.check_host(headers)?;
        }
        if wants == Wants::Change { self.check_origin(headers) } else { Ok(()) }
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let is_ours = hosts.next().is_some_and(|host| {
            self.own_hosts.iter().any(|own| host == own.as_str()) || host.to_str().is_ok_and(names_this_machine)
        });
        // One that is given twice could mean one thing here and another to a proxy.
        if is_ours && hosts.next().is_none() {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this hub has no publish key, so it answers only to `localhost` and loopback addresses; behind a proxy, give \
             it a key with --publish-key",
        ))
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let own = headers.get(header::HOST).is_some_and(|host| is_own(origin.as_bytes(), host.as_bytes()));
        if own || self.origins.contains(origin) {
            return Ok(());
        }
        let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        if origin == "null" {
            let why = "a page whose origin is `null`, because it was opened as a file or in a sandbox, may not do this; \
                       serve it over http";
            return Err(Problem::new(StatusCode::FORBIDDEN, why));
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("a page of {origin} may not do this; start the hub with --cors-origin {origin} to allow it"),
        ))
    }
}

/// The layer that asks [`Access`].
pub(crate) async fn guard(
    State((access, wants)): State<(Arc<Access>, Wants)>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(wants, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => refusal(problem),
    }
}

/// The answer to a request that [`Access`] refused.
pub(crate) fn refusal(problem: Problem) -> Response {
    let unauthorized = problem.status() == StatusCode::UNAUTHORIZED;
    let mut response = problem.into_response();
    if unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn check_key(key: &PublishKey, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer);
    match given {
        Some(given) if is_key(key, given) => Ok(()),
        Some(token) if token.starts_with(JSON_WEB_TOKEN) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs the publish key, and what was sent is a token: a ticket opens streams only",
        )),
        Some(_) => Err(Problem::new(StatusCode::UNAUTHORIZED, "the publish key is wrong")),
        None => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the publish key is missing: send it as `Authorization: Bearer KEY`",
        )),
    }
}

/// Whether this is the key: in constant time, so that the answer's delay does not tell how much of a guess was right.
pub(crate) fn is_key(key: &PublishKey, given: &[u8]) -> bool {
    given.ct_eq(key.as_bytes()).into()
}

/// How a token's first part begins: `{"` in base64.
const JSON_WEB_TOKEN: &[u8] = b"eyJ";

/// What is borne, of the value of an `Authorization`.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn names_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let host = authority.host();
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
