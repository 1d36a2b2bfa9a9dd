//! The requests of each kind of server: to publish, to subscribe and to resume.

use std::{net::SocketAddr, ops::Range};

/// The form of a server's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `POST /publish` with JSON, `GET /stream?channel=…`.
    Json,
    /// The channel in the path, the data as it is.
    Path,
}

/// Where a stream states the position of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PositionMark {
    pub(crate) before: &'static [u8],
    pub(crate) after: &'static [u8],
    /// Whether it stands behind the data of its event.
    pub(crate) follows_data: bool,
}

impl Dialect {
    /// Returns the request that publishes this to a channel.
    pub(super) fn publish_request(self, address: SocketAddr, channel: usize, data: &str) -> String {
        let (path, media_type, body) = match self {
            Self::Json => {
                let body = format!("{{\"channel\":\"c{channel}\",\"data\":\"{data}\"}}");
                ("/publish".to_owned(), "application/json", body)
            }
            Self::Path => (format!("/publish/c{channel}"), "text/plain", data.to_owned()),
        };
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Returns the request that listens to these channels.
    pub(super) fn stream_request(self, address: SocketAddr, channels: Range<usize>) -> String {
        let joined = |before: &str, between: &str| {
            let channels: Vec<_> = channels.map(|channel| format!("{before}c{channel}")).collect();
            channels.join(between)
        };
        let path = match self {
            Self::Json => format!("/stream?{}", joined("channel=", "&")),
            Self::Path => format!("/stream/{}", joined("", ",")),
        };
        get(&path, address, "")
    }

    /// Returns the request that listens to the first channel from a position on.
    pub(super) fn resume_request(self, address: SocketAddr, position: &str) -> String {
        let path = match self {
            Self::Json => "/stream?channel=c0",
            Self::Path => "/stream/c0",
        };
        get(path, address, &format!("Last-Event-ID: {position}\r\n"))
    }

    pub(super) fn position_mark(self) -> PositionMark {
        PositionMark { before: b"\nid:", after: b"\n", follows_data: self == Self::Json }
    }
}

/// Returns the request of an event stream with these further headers.
pub(super) fn get(path: &str, address: SocketAddr, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n")
}
