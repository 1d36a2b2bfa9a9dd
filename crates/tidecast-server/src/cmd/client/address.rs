//! Where a hub is: `http://HOST[:PORT][/PATH]`.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Authority};

/// The variable that says where the hub is.
pub(crate) const VARIABLE: &str = "TIDECAST_URL";

/// Where `tidecast serve` listens unless it is told otherwise.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:8000";

/// Where a hub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubAddress {
    authority: Authority,
    /// What its paths begin with; without the slash at the end, so empty for most.
    prefix: String,
}

impl HubAddress {
    /// What goes into the header `Host`.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host as a resolver takes it.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(80)
    }

    /// A target below it.
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
        // An empty variable is one that somebody unset as well as they could.
        let text = if text.is_empty() { DEFAULT } else { text };
        let wrong = || "must be `http://HOST`, `http://HOST:PORT` or that with a path".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("https is not spoken here yet: name the hub's own http:// address, from a machine that \
                            reaches it"
                    .to_owned());
            }
            _ => return Err(wrong()),
        }
        let authority = uri.authority().ok_or_else(wrong)?.clone();
        if authority.as_str().contains('@') {
            return Err("a name or password in the address is not taken; a key goes into --publish-key".to_owned());
        }
        let bare = authority.as_str() == authority.host();
        if authority.host().is_empty() || !bare && authority.port_u16().is_none() {
            return Err(wrong());
        }
        if uri.query().is_some() {
            return Err("a query in the address says nothing here".to_owned());
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
    fn addresses_are_read() {
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
    fn what_is_no_address_says_what_one_is() {
        for text in ["127.0.0.1:8000", "localhost", "ftp://a", "http://", "http://a:99999", "/", "http://a b"] {
            assert!(parse(text).unwrap_err().contains("http://HOST"), "{text}");
        }
        assert!(parse("https://a").unwrap_err().contains("https is not spoken"));
        assert!(parse("http://me:secret@a").unwrap_err().contains("--publish-key"));
        assert!(parse("http://a/?x=1").unwrap_err().contains("query"));
    }
}
