//! Parses the heads of requests to publish.

use std::{mem::MaybeUninit, ops::Range};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The beginning of the requests that the fast path answers, before the space or the query.
const BEGINNING: &[u8] = b"POST /publish";

/// Maximum size of a request, and of a read, in bytes.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of headers of a request, as hyper has it.
const HEADERS_MAX: usize = 100;

/// The head of a request to publish, apart from its headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    /// The length of the head, in bytes.
    pub(super) len: usize,
    /// The length of the body, in bytes.
    pub(super) body_len: usize,
    /// Where the query is; empty if there is none. It is ASCII.
    pub(super) query: Range<usize>,
    /// Where the value of `Expect: 100-continue` is.
    pub(super) expect: Option<Range<usize>>,
    /// Whether the connection ends after the response.
    pub(super) is_last: bool,
}

impl RequestHead {
    /// Returns the length of the request, in bytes.
    pub(super) fn request_len(&self) -> usize {
        self.len.saturating_add(self.body_len)
    }
}

/// Why bytes do not begin with a request for the fast path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotPlain {
    /// The rest of the request has not arrived.
    Incomplete,
    /// The request is for hyper.
    Unsupported,
}

/// Returns whether a head may be complete of which the first `scanned` bytes are not.
pub(super) fn may_be_complete(bytes: &[u8], scanned: usize) -> bool {
    // While the first line is incomplete, it is parsed to find out whose request it is.
    if scanned <= BEGINNING.len() {
        return true;
    }
    // The empty line at the end may have begun before.
    let new = &bytes[scanned - 2..];
    new.windows(2).any(|end| end == b"\n\n") || new.windows(3).any(|end| end == b"\n\r\n")
}

/// Parses the head of the first request of some bytes, and replaces the headers by its own.
pub(super) fn parse(bytes: &[u8], headers: &mut HeaderMap) -> Result<RequestHead, NotPlain> {
    match bytes.strip_prefix(BEGINNING) {
        Some([b' ' | b'?', ..]) => {}
        Some([]) => return Err(NotPlain::Incomplete),
        None if BEGINNING.starts_with(bytes) => return Err(NotPlain::Incomplete),
        _ => return Err(NotPlain::Unsupported),
    }
    let mut parsed = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, &mut parsed) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return Err(NotPlain::Incomplete),
        Ok(httparse::Status::Partial) | Err(_) => return Err(NotPlain::Unsupported),
    };
    // One space separates the method and the target.
    let target = "POST ".len()..BEGINNING.len().max("POST ".len() + request.path.unwrap_or_default().len());
    let query = target.end.min(BEGINNING.len() + 1)..target.end;
    if request.version != Some(1) || !bytes[query.clone()].iter().all(|byte| is_plain_in_query(*byte)) {
        return Err(NotPlain::Unsupported);
    }
    let head = RequestHead { len, body_len: 0, query, expect: None, is_last: false };
    let head = read_headers(bytes, request.headers, headers, head).ok_or(NotPlain::Unsupported)?;
    if head.request_len() > REQUEST_BYTES_MAX {
        return Err(NotPlain::Unsupported);
    }
    Ok(head)
}

/// Returns whether a byte of a query means itself. hyper parses all others.
fn is_plain_in_query(byte: u8) -> bool {
    matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~')
}

/// Adds the headers of a request to a map, and what they say to its head. Returns `None` if the request is for hyper.
fn read_headers(
    bytes: &[u8],
    headers: &[httparse::Header<'_>],
    map: &mut HeaderMap,
    mut head: RequestHead,
) -> Option<RequestHead> {
    map.clear();
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
            http::header::CONNECTION => {
                for option in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        head.is_last = true;
                    } else if !option.eq_ignore_ascii_case(b"keep-alive") {
                        return None;
                    }
                }
            }
            http::header::EXPECT => {
                if head.expect.is_some() || !header.value.eq_ignore_ascii_case(b"100-continue") {
                    return None;
                }
                let start = header.value.as_ptr().addr() - bytes.as_ptr().addr();
                head.expect = Some(start..start + header.value.len());
            }
            // These change how the request is read.
            http::header::TRANSFER_ENCODING | http::header::UPGRADE => return None,
            _ => {}
        }
        map.append(name, value);
    }
    head.body_len = body_len?;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a head was looked for from its beginning at each piece.
    #[test]
    fn the_end_of_a_head_is_found_across_pieces() {
        for end in ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"] {
            let text = format!("POST /publish HTTP/1.1{end}body");
            let head_len = text.len() - "body".len();
            for scanned in BEGINNING.len() + 1..head_len {
                for len in scanned..=text.len() {
                    assert_eq!(may_be_complete(&text.as_bytes()[..len], scanned), len >= head_len, "{scanned} {len}");
                }
            }
        }
    }
}
