//! The requests of each kind of server to publish, to subscribe and to resume, and the form of its events.

use std::{net::SocketAddr, ops::Range};

use crate::load::{form::KEY, stream::Wrapping};

/// A token with which Mercure lets publish to every topic, signed with the key of the bench.
const MERCURE_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.\
     8-OgHYWzC5CggNiYbFUwNyF_IQTSLP59sKs8DaLEUiE";

/// The form of a server's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `POST /publish` with JSON, `GET /stream?channel=…`.
    Json,
    /// The channel in the path and the data as the body.
    Path,
    /// The API of Centrifugo, and its streams, whose request is JSON in the address.
    Centrifugo,
    /// The Mercure protocol, version 8.
    Mercure,
    /// The Durable Streams protocol: the path is the stream, which has to be created.
    DurableStreams,
}

/// The place where a stream states the position of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PositionMark {
    pub(crate) before: &'static [u8],
    pub(crate) after: &'static [u8],
    /// Whether it follows the data of its event.
    pub(crate) follows_data: bool,
}

impl Dialect {
    /// Returns the request that creates a channel, or `None` if none is needed.
    pub(super) fn create_request(self, address: SocketAddr, channel: usize) -> Option<String> {
        let request = || request("PUT", &format!("/c{channel}"), address, "Content-Type: application/json\r\n", "");
        (self == Self::DurableStreams).then(request)
    }

    /// Returns the request that publishes data to a channel.
    pub(super) fn publish_request(self, address: SocketAddr, channel: usize, data: &str) -> String {
        let json = "Content-Type: application/json\r\n";
        let (path, headers, body) = match self {
            Self::Json => ("/publish".to_owned(), json.to_owned(), object(channel, data)),
            Self::Path => (format!("/publish/c{channel}"), "Content-Type: text/plain\r\n".to_owned(), data.to_owned()),
            Self::Centrifugo => {
                ("/api/publish".to_owned(), format!("{json}X-API-Key: {KEY}\r\n"), object(channel, data))
            }
            Self::Mercure => {
                let form = "Content-Type: application/x-www-form-urlencoded";
                let headers = format!("{form}\r\nAuthorization: Bearer {MERCURE_TOKEN}\r\n");
                ("/.well-known/mercure".to_owned(), headers, format!("topic=c{channel}&data={data}"))
            }
            Self::DurableStreams => (format!("/c{channel}"), json.to_owned(), format!("\"{data}\"")),
        };
        request("POST", &path, address, &headers, &body)
    }

    /// Returns the request for a stream of these channels.
    pub(super) fn stream_request(self, address: SocketAddr, channels: Range<usize>) -> String {
        let first = channels.start;
        let joined = |before: &str, after: &str, between: &str| {
            let channels: Vec<_> = channels.map(|channel| format!("{before}c{channel}{after}")).collect();
            channels.join(between)
        };
        let path = match self {
            Self::Json => format!("/stream?{}", joined("channel=", "", "&")),
            Self::Path => format!("/stream/{}", joined("", "", ",")),
            // {"subs":{"c0":{},"c1":{}}}
            Self::Centrifugo => {
                let channels = joined("%22", "%22%3A%7B%7D", "%2C");
                format!("/connection/uni_sse?cf_connect=%7B%22subs%22%3A%7B{channels}%7D%7D")
            }
            Self::Mercure => format!("/.well-known/mercure?{}", joined("topic=", "", "&")),
            Self::DurableStreams => format!("/c{first}?offset=now&live=sse"),
        };
        get(&path, address, "")
    }

    /// Returns the request for a stream of the first channel that resumes after a position.
    pub(super) fn resume_request(self, address: SocketAddr, position: &str) -> String {
        let new = self.stream_request(address, 0..1);
        match self {
            Self::DurableStreams => new.replace("offset=now", &format!("offset={position}")),
            _ => new.replace("\r\n\r\n", &format!("\r\nLast-Event-ID: {position}\r\n\r\n")),
        }
    }

    pub(super) fn position_mark(self) -> PositionMark {
        match self {
            Self::DurableStreams => {
                PositionMark { before: b"\"streamNextOffset\":\"", after: b"\"", follows_data: true }
            }
            _ => PositionMark { before: b"\nid:", after: b"\n", follows_data: self == Self::Json },
        }
    }

    /// Returns how the published data are wrapped in the data of an event.
    pub(super) fn wrapping(self) -> Wrapping {
        match self {
            Self::Json | Self::Path | Self::Mercure => Wrapping::default(),
            Self::Centrifugo => {
                Wrapping { before: "\"pub\":{\"data\":\"", after: "\"", notices: &["{\"connect\":", "{}"] }
            }
            Self::DurableStreams => Wrapping { before: "\"", after: "\"", notices: &["{\"streamNextOffset\":"] },
        }
    }
}

fn object(channel: usize, data: &str) -> String {
    format!("{{\"channel\":\"c{channel}\",\"data\":\"{data}\"}}")
}

fn request(method: &str, path: &str, address: SocketAddr, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// Returns the request for an event stream, with these further headers.
pub(super) fn get(path: &str, address: SocketAddr, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Dialect; 5] =
        [Dialect::Json, Dialect::Path, Dialect::Centrifugo, Dialect::Mercure, Dialect::DurableStreams];

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 80))
    }

    #[test]
    fn a_publish_has_its_channel_and_its_data_in_every_dialect() {
        for dialect in ALL {
            let request = dialect.publish_request(address(), 7, "AB");
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{request}");
            assert!(request.contains("c7") && body.matches("AB").count() == 1, "{request}");
        }
        let mercure = Dialect::Mercure.publish_request(address(), 7, "AB");
        assert!(mercure.starts_with("POST /.well-known/mercure HTTP/1.1\r\n") && mercure.ends_with("topic=c7&data=AB"));
    }

    #[test]
    fn a_stream_is_new_or_resumed_in_every_dialect() {
        for dialect in ALL {
            let (new, resumed) = (dialect.stream_request(address(), 0..1), dialect.resume_request(address(), "p-9"));
            assert!(!new.contains("p-9") && resumed.contains("p-9"), "{resumed}");
            assert!(new.ends_with("\r\n\r\n") && resumed.ends_with("\r\n\r\n"));
        }
        let line = |dialect: Dialect| dialect.stream_request(address(), 3..5).lines().next().unwrap().to_owned();
        assert_eq!(line(Dialect::Mercure), "GET /.well-known/mercure?topic=c3&topic=c4 HTTP/1.1");
        let subscriptions = "%7B%22subs%22%3A%7B%22c3%22%3A%7B%7D%2C%22c4%22%3A%7B%7D%7D%7D";
        assert_eq!(line(Dialect::Centrifugo), format!("GET /connection/uni_sse?cf_connect={subscriptions} HTTP/1.1"));
    }
}
