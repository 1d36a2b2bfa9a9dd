//! A redirect, followed once over a new connection as a browser does.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

/// How long the response may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Sends a request and returns the address and path to which it is redirected.
pub(super) fn follow(address: SocketAddr, request: &str) -> Result<(SocketAddr, String)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWERED_WITHIN))?;
    socket.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let read = socket.read(&mut buffer).context("requesting a stream")?;
        ensure!(read > 0 && answer.len() < HEAD_BYTES_MAX, "the head of a response does not end");
        answer.extend_from_slice(&buffer[..read]);
        if let Some(end) = memmem::find(&answer, b"\r\n\r\n") {
            return location(std::str::from_utf8(&answer[..end])?);
        }
    }
}

fn location(head: &str) -> Result<(SocketAddr, String)> {
    ensure!(head.starts_with("HTTP/1.1 302 "), "the response is not a redirect: {head}");
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("location") {
            let rest = value.trim().strip_prefix("http://").context("the redirect is not to an http URL")?;
            let (authority, path) = rest.split_once('/').context("the redirect has no path")?;
            return Ok((authority.parse()?, format!("/{path}")));
        }
    }
    bail!("the redirect has no location: {head}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_redirect_is_followed() {
        let sent = "HTTP/1.1 302 FOUND\r\nServer: x\r\nlocation: http://127.0.0.1:81/stream?channel=a&ticket=b.c";
        let there = (SocketAddr::from(([127, 0, 0, 1], 81)), "/stream?channel=a&ticket=b.c".to_owned());
        assert_eq!(location(sent).unwrap(), there);
        assert!(location("HTTP/1.1 302 FOUND\r\nServer: x").is_err());
        assert!(location("HTTP/1.1 200 OK\r\nLocation: http://127.0.0.1:81/").is_err());
    }
}
