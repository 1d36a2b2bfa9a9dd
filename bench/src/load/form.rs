//! The forms in which a request can publish an event.

use std::net::SocketAddr;

use anyhow::Result;

use super::{exchange::Exchange, stamp::blank};

/// Events of a batch.
const BATCH: usize = 16;

const DATA_BYTES: usize = 64;
const CHANNEL: &str = "c0";

/// The publish key of a server that [`Form::Key`] is measured with.
pub(crate) const KEY: &str = "key-of-the-bench-and-of-nothing-else";

/// A form of publish request. All but the last three are one segment on a connection that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Json,
    UrlEncoded,
    /// The data as it is, the channel in the address.
    Text,
    /// A JSON array of 16 events.
    Array,
    /// JSON, with the publish key.
    Key,
    /// JSON, from a page of the hub's own origin.
    Origin,
    /// JSON, head and body written one by one, as Python's `http.client` does.
    Split,
    /// JSON, over a new connection that ends with the response.
    Close,
    /// JSON, with a body that waits for `100 Continue`.
    Expect,
}

impl Form {
    pub(crate) const ALL: [Self; 9] = [
        Self::Json,
        Self::UrlEncoded,
        Self::Text,
        Self::Array,
        Self::Key,
        Self::Origin,
        Self::Split,
        Self::Close,
        Self::Expect,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::UrlEncoded => "form",
            Self::Text => "text",
            Self::Array => "array of 16",
            Self::Key => "with a key",
            Self::Origin => "with `Origin`",
            Self::Split => "in 2 segments",
            Self::Close => "new connection",
            Self::Expect => "`Expect`",
        }
    }

    /// Returns whether the other servers of the same dialect read it too.
    pub(crate) fn is_common(self) -> bool {
        matches!(self, Self::Json | Self::Origin | Self::Split | Self::Close | Self::Expect)
    }

    /// Returns whether a request is one segment, so that many can be written at once.
    pub(crate) fn is_one_segment(self) -> bool {
        !matches!(self, Self::Split | Self::Close | Self::Expect)
    }

    /// Returns how many events a request publishes.
    pub(crate) fn events(self) -> usize {
        if self == Self::Array { BATCH } else { 1 }
    }

    fn request(self, address: SocketAddr) -> (String, String) {
        let data = blank(DATA_BYTES);
        let json = || format!("{{\"channel\":\"{CHANNEL}\",\"data\":\"{data}\"}}");
        let (query, media_type, body) = match self {
            Self::UrlEncoded => {
                let data = data.replace('@', "%40");
                (String::new(), "application/x-www-form-urlencoded", format!("channel={CHANNEL}&data={data}"))
            }
            Self::Text => (format!("?channel={CHANNEL}"), "text/plain", data),
            Self::Array => (String::new(), "application/json", format!("[{}]", vec![json(); BATCH].join(","))),
            _ => (String::new(), "application/json", json()),
        };
        let header = match self {
            Self::Key => format!("Authorization: Bearer {KEY}\r\n"),
            Self::Origin => format!("Origin: http://{address}\r\n"),
            Self::Close => "Connection: close\r\n".to_owned(),
            Self::Expect => "Expect: 100-continue\r\n".to_owned(),
            _ => String::new(),
        };
        let length = body.len();
        let head = format!(
            "POST /publish{query} HTTP/1.1\r\nHost: {address}\r\n{header}Content-Type: {media_type}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        (head, body)
    }
}

/// Publishes in one form, over a connection that is kept if the form allows it.
#[derive(Debug)]
pub(crate) struct FormPublisher {
    form: Form,
    address: SocketAddr,
    head: String,
    body: String,
    /// Requests written at once.
    burst: usize,
    whole: Vec<u8>,
    kept: Exchange,
}

impl FormPublisher {
    pub(crate) fn connect(form: Form, address: SocketAddr, burst: usize) -> Result<Self> {
        let (head, body) = form.request(address);
        let whole = [head.as_str(), &body].concat().repeat(burst).into_bytes();
        Ok(Self { form, address, head, body, burst, whole, kept: Exchange::connect(address)? })
    }

    /// Publishes once, or as many times as are written at once, and waits for the responses.
    pub(crate) fn publish(&mut self) -> Result<()> {
        match self.form {
            Form::Split => {
                self.kept.send(self.head.as_bytes())?;
                self.kept.send(self.body.as_bytes())?;
                self.kept.wait(1)
            }
            Form::Expect => {
                self.kept.send(self.head.as_bytes())?;
                self.kept.wait_to_continue()?;
                self.kept.send(self.body.as_bytes())?;
                self.kept.wait(1)
            }
            Form::Close => {
                let mut new = Exchange::connect(self.address)?;
                new.send(&self.whole)?;
                new.wait(1)
            }
            _ => {
                self.kept.send(&self.whole)?;
                self.kept.wait(self.burst as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_body_in_every_form() {
        for form in Form::ALL {
            let (head, body) = form.request(SocketAddr::from(([127, 0, 0, 1], 80)));
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n\r\n", body.len())), "{head}");
            assert_eq!(body.matches("xxxxxxxx").count() / 3, form.events(), "{body}");
        }
    }
}
