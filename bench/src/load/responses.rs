//! Counts the responses that come back over a publishing connection.

use anyhow::{Result, ensure};
use memchr::memmem;

/// The responses of one connection, read in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    input: Vec<u8>,
    /// Bytes of a response's body that are still to come.
    body_left: usize,
    /// Final responses whose head is complete.
    pub(crate) count: u64,
    /// Interim responses: `100 Continue`.
    pub(crate) interim: u64,
}

impl Responses {
    /// Takes the bytes that were read.
    ///
    /// # Errors
    /// If a response is not a success.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let body = self.body_left.min(self.input.len() - at);
            self.body_left -= body;
            at += body;
            let Some(end) = memmem::find(&self.input[at..], b"\r\n\r\n") else { break };
            let head = &self.input[at..at + end];
            if head.starts_with(b"HTTP/1.1 100") {
                self.interim += 1;
            } else {
                self.body_left = body_bytes(head)?;
                self.count += 1;
            }
            at += end + 4;
        }
        self.input.drain(..at);
        Ok(())
    }

    /// Returns whether the last response has come with its whole body.
    pub(crate) fn is_whole(&self) -> bool {
        self.body_left == 0 && self.input.is_empty()
    }
}

/// Returns the length of the body that follows a response's head.
fn body_bytes(head: &[u8]) -> Result<usize> {
    ensure!(head.starts_with(b"HTTP/1.1 2"), "a request was refused: {}", String::from_utf8_lossy(head));
    for line in head.split(|&byte| byte == b'\n') {
        if let Some((name, length)) = line.split_at_checked(b"content-length:".len())
            && name.eq_ignore_ascii_case(b"content-length:")
        {
            return Ok(std::str::from_utf8(length)?.trim().parse()?);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_found_however_it_is_written_and_a_refusal_is_an_error() {
        assert_eq!(body_bytes(b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 17").unwrap(), 17);
        assert_eq!(body_bytes(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nDate: x").unwrap(), 5);
        assert_eq!(body_bytes(b"HTTP/1.1 204 No Content").unwrap(), 0);
        assert!(body_bytes(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5").is_err());
    }

    #[test]
    fn responses_are_counted_in_pieces_of_any_size() {
        let one = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let bytes = one.repeat(3);
        for piece in 1..bytes.len() {
            let mut responses = Responses::default();
            bytes.as_bytes().chunks(piece).for_each(|piece| responses.take(piece).unwrap());
            assert_eq!((responses.count, responses.interim, responses.is_whole()), (3, 3, true), "{piece}");
        }
        let mut responses = Responses::default();
        responses.take(&one.as_bytes()[..one.len() - 1]).unwrap();
        assert!(responses.count == 1 && !responses.is_whole());
    }
}
