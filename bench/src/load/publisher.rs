//! A connection that publishes: pipelined requests and their responses.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

use super::stamp::{Stamp, filling};
use crate::servers::Server;

/// If this many bytes wait to be written, the server counts as stuck and the run ends.
const OUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The publishing connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    /// A request for each channel, of which only the data changes.
    requests: Vec<Request>,
    out: Vec<u8>,
    /// How many bytes of `out` have been written.
    written: usize,
    input: Vec<u8>,
    /// How many bytes of a response's body are missing.
    body_left: usize,
    pub(crate) acknowledged: u64,
}

#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    data_at: usize,
}

impl Publisher {
    pub(crate) fn connect(server: &Server, channels: usize, data_bytes: usize) -> Result<Self> {
        let socket = TcpStream::connect(server.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let data = vec![b'@'; data_bytes - filling(data_bytes).len()];
        let data = String::from_utf8([data, filling(data_bytes)].concat())?;
        let request = |channel| {
            let bytes = server.publish_request(channel, &data).into_bytes();
            // The data are at the end, except for the end of a JSON document.
            let data_at = memmem::rfind(&bytes, data.as_bytes()).context("a request lacks its data")?;
            Ok(Request { bytes, data_at })
        };
        let requests = (0..channels).map(request).collect::<Result<_>>()?;
        let (out, input) = (Vec::new(), Vec::new());
        Ok(Self { socket, requests, out, written: 0, input, body_left: 0, acknowledged: 0 })
    }

    /// Queues a publish.
    pub(crate) fn push(&mut self, stamp: &Stamp) {
        let request = &mut self.requests[stamp.channel as usize];
        stamp.write(&mut request.bytes[request.data_at..][..super::stamp::STAMP_BYTES]);
        self.out.extend_from_slice(&request.bytes);
    }

    /// Writes as much as the socket takes.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.written < self.out.len() {
            match self.socket.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let waiting = self.out.len() - self.written;
                    ensure!(waiting < OUT_BYTES_MAX, "the server does not read what is published");
                    return Ok(());
                }
                Err(error) => return Err(error).context("publishing"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads and counts responses.
    ///
    /// # Errors
    ///
    /// If one is an error response.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => bail!("the server closed the publisher's connection"),
                Ok(read) => self.take(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("reading responses"),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let body = self.body_left.min(self.input.len() - at);
            self.body_left -= body;
            at += body;
            let Some(end) = memmem::find(&self.input[at..], b"\r\n\r\n") else { break };
            self.body_left = body_bytes(&self.input[at..at + end])?;
            self.acknowledged += 1;
            at += end + 4;
        }
        self.input.drain(..at);
        Ok(())
    }
}

/// Returns the length of the body after a response's head.
fn body_bytes(head: &[u8]) -> Result<usize> {
    ensure!(head.starts_with(b"HTTP/1.1 2"), "a publish was refused: {}", String::from_utf8_lossy(head));
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
    fn the_length_is_found_in_any_case_and_a_refusal_is_an_error() {
        assert_eq!(body_bytes(b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 17").unwrap(), 17);
        assert_eq!(body_bytes(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nDate: x").unwrap(), 5);
        assert_eq!(body_bytes(b"HTTP/1.1 204 No Content").unwrap(), 0);
        assert!(body_bytes(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5").is_err());
    }
}
