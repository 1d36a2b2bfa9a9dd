//! The lines of a frame.
//!
//! A frame is `event: T`, `retry: R`, one `data: L` per line, `id: I` and an empty line, each ended by LF. One space
//! follows each colon, so that a line's own leading space survives.
//!
//! The id line comes last, for two reasons. Some clients commit an id at its line instead of at the empty line: a client
//! that is cut within the data has not read the id yet, so it resumes before the event. And on several channels the id
//! differs between subscribers: [`encode`] writes the lines before it once per event, and [`put_id_end`] the rest.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use memchr::memchr2;

use crate::Event;

/// The bytes that a line of data has beside the data.
const DATA_LINE_BYTES: usize = "data: \n".len();

/// Appends the lines of an event's frame that all subscribers share: all but the id line and the empty line.
pub(super) fn encode(event: &Event, out: &mut impl BufMut) {
    if let Some(event_type) = event.event_type() {
        put_line(out, b"event: ", event_type.as_str().as_bytes());
    }
    if let Some(retry) = event.retry() {
        put_line(out, b"retry: ", itoa::Buffer::new().format(retry.as_millis()).as_bytes());
    }
    // Empty data is one empty line, so that the event is dispatched.
    for line in lines(event.data()) {
        put_line(out, b"data: ", line);
    }
}

/// Returns how many bytes [`encode`] writes if the data is one line. Does not look for line ends.
pub(super) fn encoded_len_hint(event: &Event) -> usize {
    field_lines_len(event) + DATA_LINE_BYTES + event.data().len()
}

/// Returns the length of an event's frame without its id line, if it exceeds `bytes_max`.
///
/// Looks for line ends only if that many of them would make the difference.
pub(crate) fn frame_len_above(event: &Event, bytes_max: usize) -> Option<usize> {
    // If each byte of the data ended a line.
    let most = encoded_len_hint(event) + DATA_LINE_BYTES * event.data().len() + "\n".len();
    if most <= bytes_max {
        return None;
    }
    let data: usize = lines(event.data()).map(|line| DATA_LINE_BYTES + line.len()).sum();
    let len = field_lines_len(event) + data + "\n".len();
    (len > bytes_max).then_some(len)
}

/// Appends an id line.
pub(super) fn put_id_line(out: &mut impl BufMut, id: &[u8]) {
    put_line(out, b"id: ", id);
}

/// Appends the end of a frame: the id line, whose id `put_id` writes, and the empty line.
pub(crate) fn put_id_end<B: BufMut>(out: &mut B, put_id: impl FnOnce(&mut B)) {
    out.put_slice(b"id: ");
    put_id(out);
    out.put_slice(b"\n\n");
}

/// Appends the lines of an event of a reserved type, whose data `put_data` writes, without the end of its frame.
pub(super) fn put_reserved_event(out: &mut BytesMut, event_type: &str, put_data: impl FnOnce(&mut BytesMut)) {
    put_line(out, b"event: ", event_type.as_bytes());
    out.put_slice(b"data: ");
    put_data(out);
    out.put_u8(b'\n');
}

fn put_line(out: &mut impl BufMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(value);
    out.put_u8(b'\n');
}

/// Returns the length of the lines before the data.
fn field_lines_len(event: &Event) -> usize {
    let event_type = event.event_type().map_or(0, |event_type| "event: \n".len() + event_type.as_str().len());
    let digits = |retry: Duration| itoa::Buffer::new().format(retry.as_millis()).len();
    event_type + event.retry().map_or(0, |retry| "retry: \n".len() + digits(retry))
}

/// Returns the lines of a text, at least one. CRLF, CR and LF each end a line, and nothing else does.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Data of more lines than its length lets one expect is measured exactly.
    #[test]
    fn a_frame_is_measured_as_it_is_written() {
        let retry = Duration::from_millis(1);
        for data in ["", "a", "\n", "\r\n\r\n", "a\nb\rc\r\nd", "\n\n\n\n\n\n\n\n"] {
            for event in [Event::text(data), Event::text(data).with_type("t").unwrap().with_retry(retry).unwrap()] {
                let mut out = Vec::new();
                encode(&event, &mut out);
                let len = out.len() + 1;
                assert_eq!(frame_len_above(&event, len), None, "{data:?}");
                assert_eq!(frame_len_above(&event, len - 1), Some(len), "{data:?}");
            }
        }
    }
}
