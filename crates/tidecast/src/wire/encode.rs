//! An event as the lines of a frame.
//!
//! A frame is `event: T`, `retry: R`, a `data: L` per line, `id: I`, and an empty line, each ended by LF. One space
//! follows each colon, so that a line's own leading space survives.
//!
//! The id line is the last, for two reasons. Some clients commit an id at its line and not at the empty line: a client
//! that is cut within the data has not read the id yet, so it resumes before the event. And on several channels the id
//! differs between subscribers: [`encode`] writes the lines before it, once per event, and [`put_id_end`] the rest.

use bytes::BufMut;
use memchr::memchr2;

use crate::Event;

/// Appends the lines of an event's frame that all subscribers share: all but its id line and the empty line.
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
}

/// The length of what [`encode`] writes, in bytes. One look for line ends, no writing.
pub(crate) fn encoded_len(event: &Event) -> usize {
    let data: usize = lines(event.data()).map(|line| "data: \n".len() + line.len()).sum();
    let event_type = event.event_type().map_or(0, |event_type| "event: \n".len() + event_type.as_str().len());
    let retry =
        event.retry().map_or(0, |retry| "retry: \n".len() + itoa::Buffer::new().format(retry.as_millis()).len());
    event_type + retry + data
}

/// Appends an id line.
pub(crate) fn put_id_line(out: &mut impl BufMut, id: &[u8]) {
    out.put_slice(b"id: ");
    out.put_slice(id);
    out.put_u8(b'\n');
}

/// Appends what a frame ends with: the id line, whose id `put_id` writes, and the empty line.
pub(crate) fn put_id_end<B: BufMut>(out: &mut B, put_id: impl FnOnce(&mut B)) {
    out.put_slice(b"id: ");
    put_id(out);
    out.put_slice(b"\n\n");
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
