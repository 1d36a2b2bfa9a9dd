//! Writes responses to publishes, byte for byte as hyper would.

use std::{cell::Cell, io::Write, time::SystemTime};

/// Appends a response with a JSON body.
pub(super) fn put(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
        x-content-type-options: nosniff\r\ncontent-length: ",
    );
    // Writing to memory does not fail.
    let _ = write!(out, "{}", body.len());
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
