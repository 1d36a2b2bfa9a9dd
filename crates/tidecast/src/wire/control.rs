//! What a stream says that no publisher said: its first block, keep-alives, resets, and its end.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::encode::{put_id_end, put_id_line};
use crate::{Reset, ResetReason, STREAM_OPEN, STREAM_RESET};

/// The media type of an event stream. The standard allows no other encoding than UTF-8.
pub const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// A comment: it keeps proxies from closing an idle connection, and dispatches nothing.
///
/// It has no empty line: some clients hand out an empty message for each, whether there was data before it or not. It is
/// only ever written between two frames.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n");

/// How a stream begins.
///
/// Whatever it says, the block goes out at once with the head of the response, so that `onopen` fires and proxies let
/// go of the headers. An empty line is never written before an id is: by the standard it would have the client forget the
/// id that it has from earlier connections.
///
/// # Examples
///
/// ```
/// use tidecast::wire::FirstBlock;
///
/// assert_eq!(FirstBlock::default().retry.as_millis(), 3000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstBlock {
    /// How long the browser is to wait before it connects again. Default 3 s; zero is at once.
    pub retry: Duration,

    /// Whether to dispatch an event `stream-open` with data `{"position": "…"}`. Default `false`.
    ///
    /// Chromium takes over an id without data, as the standard has it; Firefox and Safari only with data. With this a
    /// stream that is cut before its first event resumes in those as well.
    pub open_event: bool,

    /// Where the client commits an id that no event comes with. Default [`IdCommit::EmptyLine`].
    pub commit: IdCommit,
}

/// Where a client commits an id that no event comes with: from there on it resumes after that id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdCommit {
    /// At the empty line behind it, as the standard has it: a browser's own `EventSource`.
    ///
    /// The first block ends with an empty line. A client that hands out a message for each empty line hands out an empty
    /// one here.
    #[default]
    EmptyLine,

    /// At its line, or with the first event.
    ///
    /// The first block has no empty line, and goes on with the first event.
    Line,
}

impl IdCommit {
    /// Returns what to expect of a client by three headers of its request: `Cache-Control`, `User-Agent` and
    /// `Sec-Fetch-Mode`, each `None` if it is absent.
    ///
    /// It is [`EmptyLine`](Self::EmptyLine) if the request is to pass caches (`no-cache`), as that of an `EventSource`
    /// always is, and comes from a browser. Libraries send either, but not both.
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
        let passes_caches = directives.map(<[u8]>::trim_ascii).any(|name| name.eq_ignore_ascii_case(b"no-cache"));
        let is_browser = fetch_mode.is_some() || user_agent.is_some_and(|name| name.starts_with(b"Mozilla/"));
        if passes_caches && is_browser { Self::EmptyLine } else { Self::Line }
    }
}

impl Default for FirstBlock {
    fn default() -> Self {
        Self { retry: Duration::from_millis(3000), open_event: false, commit: IdCommit::default() }
    }
}

impl FirstBlock {
    /// The block, with the id if it is known.
    pub(crate) fn encode(&self, id: Option<&str>) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(b": tidecast\n");
        put_retry_line(&mut out, self.retry);
        if let Some(id) = id {
            self.put_id(&mut out, id);
        }
        out.freeze()
    }

    /// Appends the id: its line, a block with it, or the event `stream-open`.
    pub(crate) fn put_id(&self, out: &mut BytesMut, id: &str) {
        if self.open_event {
            put_own_event(out, STREAM_OPEN, &serde_json::json!({ "position": id }));
        }
        match (self.open_event, self.commit) {
            (false, IdCommit::Line) => put_id_line(out, id.as_bytes()),
            (true, _) | (false, IdCommit::EmptyLine) => put_id_end(out, |out| out.put_slice(id.as_bytes())),
        }
    }
}

/// The last line of a stream that the server ends: when to come back.
///
/// Without an empty line, which might hand out an empty message, and would have a client forget its id if none was sent
/// on this connection.
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

/// Appends the event `stream-reset`.
pub(crate) fn reset_frame(out: &mut BytesMut, reset: &Reset) {
    let data = serde_json::json!({
        "channel": reset.channel.as_str(),
        "reason": reset.reason.as_str(),
        "resumed_at": reset.resumed_at.to_string(),
    });
    put_own_event(out, STREAM_RESET, &data);
    put_id_end(out, |out| out.put_slice(reset.cursor.to_string().as_bytes()));
}

/// The event `stream-reset` where there are no positions: how many events a subscriber missed.
pub(crate) fn missed_frame(events: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    let data = serde_json::json!({ "reason": ResetReason::TooSlow.as_str(), "missed": events });
    put_own_event(&mut out, STREAM_RESET, &data);
    out.put_u8(b'\n');
    out.freeze()
}

/// Appends the lines of an event, without what it ends with.
fn put_own_event(out: &mut BytesMut, event_type: &str, data: &serde_json::Value) {
    out.put_slice(b"event: ");
    out.put_slice(event_type.as_bytes());
    out.put_slice(b"\ndata: ");
    out.put_slice(data.to_string().as_bytes());
    out.put_u8(b'\n');
}

fn put_retry_line(out: &mut BytesMut, retry: Duration) {
    out.put_slice(b"retry: ");
    out.put_slice(itoa::Buffer::new().format(retry.as_millis()).as_bytes());
    out.put_u8(b'\n');
}
