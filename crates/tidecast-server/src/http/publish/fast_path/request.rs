//! Parses plain requests to publish.

use std::mem::MaybeUninit;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The first line of the requests that the fast path answers.
const REQUEST_LINE: &[u8] = b"POST /publish HTTP/1.1\r\n";

/// Maximum size of a request, and of a read, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of headers of a request.
const HEADERS_MAX: usize = 32;

/// A plain request.
#[derive(Debug)]
pub(super) struct PlainRequest<'a> {
    /// The length of head and body, in bytes.
    pub(super) len: usize,
    pub(super) body: &'a [u8],
}

/// Why bytes are not a plain request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotPlain {
    /// The rest of the request has not arrived.
    Incomplete,
    /// The request is for hyper.
    Unsupported,
}

/// Parses the first request of some bytes, and replaces the headers by its own.
pub(super) fn parse<'a>(bytes: &'a [u8], headers: &mut HeaderMap) -> Result<PlainRequest<'a>, NotPlain> {
    if !bytes.starts_with(REQUEST_LINE) {
        return Err(if REQUEST_LINE.starts_with(bytes) { NotPlain::Incomplete } else { NotPlain::Unsupported });
    }
    let mut parsed = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let head_len = match head.parse_with_uninit_headers(bytes, &mut parsed) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Err(NotPlain::Incomplete),
        Err(_) => return Err(NotPlain::Unsupported),
    };
    headers.clear();
    let body_len = read_headers(head.headers, headers).ok_or(NotPlain::Unsupported)?;
    let len = head_len.saturating_add(body_len);
    if len > REQUEST_BYTES_MAX {
        return Err(NotPlain::Unsupported);
    }
    let body = bytes.get(head_len..len).ok_or(NotPlain::Incomplete)?;
    Ok(PlainRequest { len, body })
}

/// Adds the headers of a request to a map. Returns the length of the body; `None` if the request is not plain.
fn read_headers(headers: &[httparse::Header<'_>], map: &mut HeaderMap) -> Option<usize> {
    let mut body_len = None;
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(header.value).ok()?;
        match name {
            http::header::CONTENT_LENGTH => {
                let digits = header.value.iter().all(u8::is_ascii_digit);
                let len = str::from_utf8(header.value).ok().filter(|_| digits)?.parse().ok()?;
                if body_len.replace(len).is_some() {
                    return None;
                }
            }
            http::header::CONNECTION if !header.value.eq_ignore_ascii_case(b"keep-alive") => return None,
            http::header::CONNECTION => {}
            // These change how the request is read or the response written. Pages send `Origin`.
            http::header::EXPECT
            | http::header::ORIGIN
            | http::header::TE
            | http::header::TRAILER
            | http::header::TRANSFER_ENCODING
            | http::header::UPGRADE => return None,
            _ => {}
        }
        map.append(name, value);
    }
    body_len
}
