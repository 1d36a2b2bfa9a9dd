//! The parts of a stream that no publisher wrote: its first block, keep-alive comments and its last line.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    encode::{put_id_end, put_id_line, put_reserved_event},
    json::put_json_string,
};
use crate::STREAM_OPEN;

/// The media type of an event stream. The standard requires UTF-8.
pub const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// A comment that keeps proxies from closing an idle connection and dispatches nothing.
///
/// It has no empty line, because some clients dispatch an empty message for each. It may only be written between two
/// frames.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n");

/// The beginning of a stream.
///
/// The block goes out with the head of the response, so that `onopen` fires and proxies pass on the headers. An empty
/// line is never written before an id: the standard would make the client forget the id that it has from earlier
/// connections.
///
/// # Examples
///
/// ```
/// use tidecast::wire::FirstBlock;
///
/// assert_eq!(FirstBlock::default().retry.as_millis(), 3000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirstBlock {
    /// How long the browser waits before it reconnects, in whole milliseconds. Default 3 s. Zero reconnects at once.
    pub retry: Duration,

    /// Whether to dispatch an event `stream-open` with data `{"position": "…"}`. Default `false`.
    ///
    /// Chromium commits an id without data, as the standard requires; Firefox and Safari commit it only with data. With
    /// this event, a stream that is cut before its first event resumes in those browsers too.
    pub open_event: bool,

    /// Where the client commits an id that comes without an event. Default [`IdCommit::EmptyLine`].
    pub commit: IdCommit,
}

/// Where a client commits an id that comes without an event. From then on it resumes after that id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdCommit {
    /// At the empty line after it, as the standard requires: a browser's own `EventSource`.
    ///
    /// The first block ends with an empty line. A client that dispatches a message for every empty line dispatches an
    /// empty one here.
    #[default]
    EmptyLine,

    /// At its line, or with the first event.
    ///
    /// The first block has no empty line and continues with the first event.
    Line,
}

impl IdCommit {
    /// Derives the behaviour to expect from three headers of a request: `Cache-Control`, `User-Agent` and
    /// `Sec-Fetch-Mode`, each `None` if absent.
    ///
    /// It is [`EmptyLine`](Self::EmptyLine) if the request asks caches to revalidate (`no-cache`), as every `EventSource`
    /// does, and comes from a browser. Libraries send one of the two, but not both.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidecast::wire::IdCommit;
    ///
    /// let browser = IdCommit::of_request(Some(b"no-cache"), Some(b"Mozilla/5.0 (X11)"), Some(b"cors"));
    /// assert_eq!(browser, IdCommit::EmptyLine);
    /// assert_eq!(IdCommit::of_request(Some(b"no-cache"), Some(b"okhttp/4.12"), None), IdCommit::Line);
    /// assert_eq!(IdCommit::of_request(None, Some(b"Mozilla/5.0 (X11)"), Some(b"cors")), IdCommit::Line);
    /// ```
    #[must_use]
    pub fn of_request(cache_control: Option<&[u8]>, user_agent: Option<&[u8]>, fetch_mode: Option<&[u8]>) -> Self {
        let directives = cache_control.unwrap_or_default().split(|byte| *byte == b',');
        let is_no_cache = directives.map(<[u8]>::trim_ascii).any(|name| name.eq_ignore_ascii_case(b"no-cache"));
        let is_browser = fetch_mode.is_some() || user_agent.is_some_and(|name| name.starts_with(b"Mozilla/"));
        if is_no_cache && is_browser { Self::EmptyLine } else { Self::Line }
    }
}

impl Default for FirstBlock {
    fn default() -> Self {
        Self { retry: Duration::from_millis(3000), open_event: false, commit: IdCommit::default() }
    }
}

impl FirstBlock {
    /// Encodes the block, with the id if it is known.
    pub(crate) fn encode(&self, id: Option<&str>) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(b": tidecast\n");
        put_retry_line(&mut out, self.retry);
        if let Some(id) = id {
            self.put_id(&mut out, id);
        }
        out.freeze()
    }

    /// Appends the id: as a line, as a block of its own, or with the event `stream-open`.
    pub(crate) fn put_id(&self, out: &mut BytesMut, id: &str) {
        if self.open_event {
            put_reserved_event(out, STREAM_OPEN, |out| {
                out.put_slice(b"{\"position\":");
                put_json_string(out, id);
                out.put_u8(b'}');
            });
        }
        match (self.open_event, self.commit) {
            (false, IdCommit::Line) => put_id_line(out, id.as_bytes()),
            (true, _) | (false, IdCommit::EmptyLine) => put_id_end(out, |out| out.put_slice(id.as_bytes())),
        }
    }
}

/// Returns the last line of a stream that the server ends: when the client should reconnect.
///
/// It has no empty line, which could dispatch an empty message, and which would make a client forget its id if none was
/// sent on this connection.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(tidecast::wire::final_block(Duration::from_secs(5)), "retry: 5000\n");
/// ```
#[must_use]
pub fn final_block(retry: Duration) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    put_retry_line(&mut out, retry);
    out.freeze()
}

fn put_retry_line(out: &mut BytesMut, retry: Duration) {
    out.put_slice(b"retry: ");
    out.put_slice(itoa::Buffer::new().format(retry.as_millis()).as_bytes());
    out.put_u8(b'\n');
}
