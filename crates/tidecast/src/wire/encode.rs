//! An event as the lines of a frame.
//!
//! A frame is `id: I`, `event: T`, `retry: R`, a `data: L` per line, and an empty line, each ended by LF. The id line
//! stands first and apart, because on several channels it differs between subscribers; [`encode`] writes all the rest,
//! once per event. One space follows each colon, so that a line's own leading space survives.

use bytes::BufMut;
use memchr::memchr2;

use crate::Event;

/// Appends all of an event's frame but its id line.
pub(crate) fn encode(event: &Event, out: &mut impl BufMut) {
    if let Some(event_type) = event.event_type() {
        out.put_slice(b"event: ");
        out.put_slice(event_type.as_str().as_bytes());
        out.put_u8(b'\n');
    }
    if let Some(retry) = event.retry() {
        out.put_slice(b"retry: ");
        out.put_slice(itoa::Buffer::new().format(retry.as_millis()).as_bytes());
        out.put_u8(b'\n');
    }
    // Empty data is one empty line, so that it is dispatched.
    for line in lines(event.data()) {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

/// The length of what [`encode`] writes, in bytes. One look for line ends, no writing.
pub(crate) fn encoded_len(event: &Event) -> usize {
    let data: usize = lines(event.data()).map(|line| "data: \n".len() + line.len()).sum();
    let event_type = event.event_type().map_or(0, |event_type| "event: \n".len() + event_type.as_str().len());
    let retry =
        event.retry().map_or(0, |retry| "retry: \n".len() + itoa::Buffer::new().format(retry.as_millis()).len());
    event_type + retry + data + 1
}

/// Appends an id line.
pub(crate) fn put_id_line(out: &mut impl BufMut, id: &[u8]) {
    out.put_slice(b"id: ");
    out.put_slice(id);
    out.put_u8(b'\n');
}

/// The lines of a text, at least one: CRLF, CR and LF each end one, and nothing else does.
fn lines(text: &str) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text.as_bytes());
    std::iter::from_fn(move || {
        let bytes = rest?;
        let Some(end) = memchr2(b'\r', b'\n', bytes) else {
            rest = None;
            return Some(bytes);
        };
        let after = if bytes[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&bytes[after..]);
        Some(&bytes[..end])
    })
}
