//! The two kinds of requests, parsed with minimal effort.

use memchr::memmem;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Stream { channel: &'a [u8] },
    Publish { channel: &'a [u8], data: &'a [u8] },
    Unknown,
}

/// Parses the first request and returns it with its length. Returns `None` if it is incomplete.
pub(crate) fn read(bytes: &[u8]) -> Option<(Request<'_>, usize)> {
    let head_bytes = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = &bytes[..head_bytes];
    if head.starts_with(b"GET /stream") {
        let channel = between(head, b"channel=", b' ').unwrap_or(b"sse");
        return Some((Request::Stream { channel }, head_bytes));
    }
    let length = between(head, b"Content-Length: ", b'\r').and_then(|digits| std::str::from_utf8(digits).ok());
    let end = head_bytes + length.and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
    let body = bytes.get(head_bytes..end)?;
    let fields = (between(body, b"\"channel\":\"", b'"'), between(body, b"\"data\":\"", b'"'));
    let (true, (Some(channel), Some(data))) = (head.starts_with(b"POST /publish"), fields) else {
        return Some((Request::Unknown, end));
    };
    Some((Request::Publish { channel, data }, end))
}

/// Returns whether these bytes are a head whose body waits for `100 Continue`.
pub(crate) fn waits_to_continue(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n") && memmem::find(bytes, b"\r\nExpect: 100-continue\r\n").is_some()
}

fn between<'a>(bytes: &'a [u8], before: &[u8], behind: u8) -> Option<&'a [u8]> {
    let begin = memmem::find(bytes, before)? + before.len();
    let end = memchr::memchr(behind, &bytes[begin..])?;
    Some(&bytes[begin..begin + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed_one_by_one_and_only_when_complete() {
        let one = b"POST /publish HTTP/1.1\r\nContent-Length: 27\r\n\r\n{\"channel\":\"c\",\"data\":\"d1\"}";
        let publish = Request::Publish { channel: b"c", data: b"d1" };
        assert_eq!(read(one), Some((publish, one.len())));
        for end in 0..one.len() {
            assert_eq!(read(&one[..end]), None);
        }
        let two = [one.as_slice(), b"GET /stream?channel=c7 HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(read(&two).map(|(_, length)| length), Some(one.len()));
        let stream = Request::Stream { channel: b"c7" };
        assert_eq!(read(&two[one.len()..]), Some((stream, two.len() - one.len())));
    }
}
