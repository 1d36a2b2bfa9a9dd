//! The address of a hub: `http://HOST[:PORT][/PATH]`.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Authority};

/// The variable with the address.
pub(crate) const VARIABLE: &str = "TIDECAST_URL";

/// The default, where `tidecast serve` listens by default.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:8000";

/// The address of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubAddress {
    authority: Authority,
    /// The prefix of its paths, without a slash at the end; empty for most hubs.
    prefix: String,
}

impl HubAddress {
    /// Returns the value of the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Returns the host as a resolver takes it.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(80)
    }

    /// Returns the request target of a path on the hub.
    pub(crate) fn target(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.prefix)
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

impl FromStr for HubAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An empty variable counts as not set.
        let text = if text.is_empty() { DEFAULT } else { text };
        let wrong = || "must be `http://HOST`, `http://HOST:PORT` or that with a path".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "https is not spoken by this command: use the hub's own http:// address, from a machine that \
                            reaches it"
                        .to_owned(),
                );
            }
            _ => return Err(wrong()),
        }
        let authority = uri.authority().ok_or_else(wrong)?.clone();
        if authority.as_str().contains('@') {
            return Err("the address must not have a name or password; pass the key by --publish-key".to_owned());
        }
        let bare = authority.as_str() == authority.host();
        if authority.host().is_empty() || !bare && authority.port_u16().is_none() {
            return Err(wrong());
        }
        if uri.query().is_some() {
            return Err("the address must not have a query".to_owned());
        }
        Ok(Self { authority, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::HubAddress;

    fn parse(text: &str) -> Result<HubAddress, String> {
        text.parse()
    }

    #[test]
    fn addresses_are_parsed() {
        for (text, host, port, target) in [
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, "/publish"),
            ("http://hub.example/", "hub.example", 80, "/publish"),
            ("http://[::1]:81/events/", "::1", 81, "/events/publish"),
            ("", "127.0.0.1", 8000, "/publish"),
        ] {
            let address = parse(text).unwrap();
            assert_eq!((address.host(), address.port(), &*address.target("/publish")), (host, port, target));
        }
    }

    #[test]
    fn the_error_for_an_invalid_address_shows_a_valid_one() {
        for text in ["127.0.0.1:8000", "localhost", "ftp://a", "http://", "http://a:99999", "/", "http://a b"] {
            assert!(parse(text).unwrap_err().contains("http://HOST"), "{text}");
        }
        assert!(parse("https://a").unwrap_err().contains("https is not spoken"));
        assert!(parse("http://me:secret@a").unwrap_err().contains("--publish-key"));
        assert!(parse("http://a/?x=1").unwrap_err().contains("query"));
    }
}
