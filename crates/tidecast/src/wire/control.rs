//! What a stream says that no publisher said: its first block, keep-alives, resets, and its end.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::encode::put_id_line;
use crate::{
    Reset, ResetReason,
    field::{STREAM_OPEN, STREAM_RESET},
};

/// The media type of an event stream. The standard allows no other encoding than UTF-8.
pub const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// A comment: it keeps proxies from closing an idle connection, and dispatches nothing.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

/// How a stream begins.
///
/// Whatever it says, the block goes out at once with the head of the response, so that `onopen` fires and proxies let
/// go of the headers.
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
}

impl Default for FirstBlock {
    fn default() -> Self {
        Self { retry: Duration::from_millis(3000), open_event: false }
    }
}

impl FirstBlock {
    /// The block, with the id if it is known.
    pub(crate) fn encode(&self, id: Option<&str>) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(b": tidecast\n");
        put_retry_line(&mut out, self.retry);
        match id {
            Some(id) => self.put_id(&mut out, id),
            None => out.put_u8(b'\n'),
        }
        out.freeze()
    }

    /// Appends the id, and the end of a block or of the event `stream-open`.
    pub(crate) fn put_id(&self, out: &mut BytesMut, id: &str) {
        put_id_line(out, id.as_bytes());
        if self.open_event {
            put_own_event(out, STREAM_OPEN, &serde_json::json!({ "position": id }));
        } else {
            out.put_u8(b'\n');
        }
    }
}

/// The last block of a stream that the server ends: when to come back.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(tidecast::wire::final_block(Duration::from_secs(5)), "retry: 5000\n\n");
/// ```
#[must_use]
pub fn final_block(retry: Duration) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    put_retry_line(&mut out, retry);
    out.put_u8(b'\n');
    out.freeze()
}

/// Appends the event `stream-reset`.
pub(crate) fn reset_frame(out: &mut BytesMut, reset: &Reset) {
    put_id_line(out, reset.cursor.to_string().as_bytes());
    let data = serde_json::json!({
        "channel": reset.channel.as_str(),
        "reason": reset.reason.as_str(),
        "resumed_at": reset.resumed_at.to_string(),
    });
    put_own_event(out, STREAM_RESET, &data);
}

/// The event `stream-reset` where there are no positions: how many events a subscriber missed.
pub(crate) fn missed_frame(events: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    let data = serde_json::json!({ "reason": ResetReason::TooSlow.as_str(), "missed": events });
    put_own_event(&mut out, STREAM_RESET, &data);
    out.freeze()
}

fn put_own_event(out: &mut BytesMut, event_type: &str, data: &serde_json::Value) {
    out.put_slice(b"event: ");
    out.put_slice(event_type.as_bytes());
    out.put_slice(b"\ndata: ");
    out.put_slice(data.to_string().as_bytes());
    out.put_slice(b"\n\n");
}

fn put_retry_line(out: &mut BytesMut, retry: Duration) {
    out.put_slice(b"retry: ");
    out.put_slice(itoa::Buffer::new().format(retry.as_millis()).as_bytes());
    out.put_u8(b'\n');
}
