//! Splits a Redis URL as Python's `urllib.parse` does for redis-py.
//!
//! A general parser refuses the lists of hosts that Sentinels and Clusters need, and percent-encodes where Python does
//! not. This module knows only the options whose value must be masked; `url_options` interprets them.

use percent_encoding::percent_decode_str;
use tidecast::{Error, Result};

pub(super) struct Url {
    pub(super) kind: UrlKind,
    pub(super) tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// At least one, which may be empty.
    pub(super) hosts: Vec<Host>,
    /// Percent-encoded, with its leading slash.
    pub(super) path: String,
    /// Decoded. Of several with one name the first; empty ones are left out.
    pub(super) query: Vec<(String, String)>,
    /// The whole URL with every password masked.
    pub(super) masked: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlKind {
    Standalone,
    Unix,
    Sentinel,
    Cluster,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    pub(super) port: Option<u16>,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self> {
        // The text of a file or variable often ends in a newline.
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let Some(&(_, kind, tls)) = SCHEMES.iter().find(|(known, ..)| *known == scheme) else {
            let known = SCHEMES.map(|(known, ..)| format!("{known}://")).join(", ");
            let given = if is_scheme(scheme) {
                format!("; it begins with {scheme}://")
            } else if is_address(text) {
                format!("; did you mean redis://{text}?")
            } else {
                String::new()
            };
            return Err(invalid(format!("does not begin with one of {known}{given}")));
        };
        if text.contains(|c: char| c.is_control() || c == '#') {
            return Err(invalid("has a `#` or a control character: percent-encode it (`#` is %23)"));
        }
        let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
        let slash = before_query.find('/').unwrap_or(before_query.len());
        let (authority, path) = before_query.split_at(slash);
        let (userinfo, hosts) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        // A password with a slash or question mark looks like this. Its parts must not end up in a message.
        let name_with_at = query.split('&').any(|pair| pair.split('=').next().is_some_and(|name| name.contains('@')));
        if userinfo.is_none() && (kind != UrlKind::Unix && path.contains('@') || name_with_at) {
            return Err(invalid("has an `@` after its host: write / ? # and @ of a password as %2F %3F %23 %40"));
        }
        let (username, password) = userinfo.map_or((None, None), |info| match info.split_once(':') {
            Some((username, password)) => (Some(username), Some(password)),
            None => (Some(info), None),
        });
        let masked_userinfo = match (username, password) {
            (Some(username), Some("")) => format!("{username}:@"),
            (Some(username), Some(_)) => format!("{username}:***@"),
            (Some(username), None) => format!("{username}@"),
            (None, _) => String::new(),
        };
        Ok(Self {
            kind,
            tls,
            username: decoded("user name", username)?,
            password: decoded("password", password)?,
            hosts: if kind == UrlKind::Unix { Vec::new() } else { parse_hosts(kind, hosts)? },
            path: path.to_owned(),
            query: parse_query(query),
            masked: format!("{scheme}://{masked_userinfo}{hosts}{path}{}", masked_query(query)),
        })
    }
}

/// Returns whether a text before `://` can be shown: it has the form of a scheme, so it is not a password.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Returns whether a text is a host and a port, perhaps with a database, so that it can be shown.
fn is_address(text: &str) -> bool {
    let (address, database) = text.split_once('/').unwrap_or((text, ""));
    let is_host = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    database.bytes().all(|byte| byte.is_ascii_digit())
        && address
            .split_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && is_host(host) && parse_port(port).is_ok())
}

/// Creates an error about the URL.
pub(super) fn invalid(why: impl Into<String>) -> Error {
    Error::invalid("Redis URL", why.into())
}

/// Decodes a percent-encoded part; `None` if it is empty.
pub(super) fn decoded(what: &str, text: Option<&str>) -> Result<Option<String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(Some(text.into_owned())),
        Err(_) => Err(invalid(format!("has a {what} that is not UTF-8"))),
    }
}

fn parse_hosts(kind: UrlKind, hosts: &str) -> Result<Vec<Host>> {
    if kind == UrlKind::Standalone {
        return Ok(vec![parse_host(hosts)?]);
    }
    let hosts: Vec<Host> = hosts.split(',').map(parse_host).collect::<Result<_>>()?;
    if hosts.len() > 1 && hosts.iter().any(|host| host.name.is_none()) {
        return Err(invalid("has a comma without a host on both sides"));
    }
    Ok(hosts)
}

fn parse_host(text: &str) -> Result<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or_else(|| invalid("has a host with `[` and no `]`"))?;
            (name, if after.is_empty() { Some("") } else { after.strip_prefix(':') })
        }
        None => text.split_once(':').map_or((text, Some("")), |(name, port)| (name, Some(port))),
    };
    // Not in the message: if a password has a slash, this text is its beginning.
    let port = port.ok_or_else(|| invalid("has a host with something other than a port after it"))?;
    let port = if port.is_empty() { None } else { Some(parse_port(port)?) };
    Ok(Host { name: decoded("host", Some(name))?.map(|name| name.to_lowercase()), port })
}

/// Parses a port, after a host or as an option.
pub(super) fn parse_port(text: &str) -> Result<u16> {
    let number = text.parse().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| invalid("has a port that is not a number from 1 to 65535"))
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !value.is_empty() && !pairs.iter().any(|(known, _)| *known == name) {
            pairs.push((name.into_owned(), value.into_owned()));
        }
    }
    pairs
}

fn masked_query(query: &str) -> String {
    let mut masked = String::new();
    for (index, pair) in query.split('&').enumerate().filter(|(_, pair)| !pair.is_empty()) {
        masked.push(if index == 0 || masked.is_empty() { '?' } else { '&' });
        let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned());
        match (name, pair.split_once('=')) {
            (Some(name), Some((raw_name, _))) if SECRETS.contains(&name.as_str()) => {
                masked.push_str(raw_name);
                masked.push_str("=***");
            }
            _ => masked.push_str(pair),
        }
    }
    masked
}

const SCHEMES: [(&str, UrlKind, bool); 7] = [
    ("redis", UrlKind::Standalone, false),
    ("rediss", UrlKind::Standalone, true),
    ("unix", UrlKind::Unix, false),
    ("redis+sentinel", UrlKind::Sentinel, false),
    ("rediss+sentinel", UrlKind::Sentinel, true),
    ("redis+cluster", UrlKind::Cluster, false),
    ("rediss+cluster", UrlKind::Cluster, true),
];

/// The options whose value is a password.
const SECRETS: [&str; 3] = ["password", "sentinel_password", "ssl_password"];
