//! Writes responses to publishes, byte for byte as hyper would.

use std::{cell::Cell, io::Write, time::SystemTime};

use axum::{body::to_bytes, response::Response};
use http::{HeaderName, HeaderValue};

/// The response that asks a client for the body.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The beginning of the response to a publish, as [`respond`](super::super::handler::respond) makes it.
pub(super) const PUBLISHED: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n";

/// Appends a response. Returns the length of its body, in bytes.
pub(super) async fn put(out: &mut Vec<u8>, response: Response, is_last: bool) -> usize {
    let (head, body) = response.into_parts();
    // The bodies are in memory.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    // Writing to memory does not fail.
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", head.status.as_str(), head.status.canonical_reason().unwrap_or_default());
    for (name, value) in &head.headers {
        put_header(out, name, value);
    }
    put_rest(out, &body, is_last);
    body.len()
}

/// Appends a header.
pub(super) fn put_header(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends the headers that hyper adds, and the body.
pub(super) fn put_rest(out: &mut Vec<u8>, body: &[u8], is_last: bool) {
    if is_last {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(&HttpDate::now().text);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// A second in the form of a `Date` header.
#[derive(Clone, Copy)]
struct HttpDate {
    second: u64,
    text: [u8; 29],
}

impl HttpDate {
    /// Returns the present second. Each thread formats it once.
    fn now() -> Self {
        thread_local! {
            static NOW: Cell<Option<HttpDate>> = const { Cell::new(None) };
        }
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some(date) = NOW.get().filter(|date| date.second == second) {
            return date;
        }
        let mut text = [b' '; 29];
        // Up to the year 9999 a date has 29 characters.
        let _ = write!(&mut text[..], "{}", httpdate::fmt_http_date(now));
        let date = Self { second, text };
        NOW.set(Some(date));
        date
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_the_header() {
        let date = HttpDate::now();
        let text = str::from_utf8(&date.text).unwrap();
        let parsed = httpdate::parse_http_date(text).unwrap();
        assert_eq!(parsed.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), date.second);
    }
}
