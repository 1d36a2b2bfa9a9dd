//! HTTP/1.1 by hand: bytes out, bytes in, and framing that is checked rather than forgiven.

use std::{fmt, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::within;

/// The bytes of a request. `Host` and `Content-Length` are added unless the headers say otherwise.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    if !given("host") {
        bytes.extend(format!("Host: {address}\r\n").bytes());
    }
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !given("content-length") && !given("transfer-encoding") && (method == "POST" || !body.is_empty()) {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// A connection to the hub.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    /// Read, but not yet taken.
    pub(crate) buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let socket = within("connecting", TcpStream::connect(address)).await.expect("the hub accepts");
        Self { socket, buffer: Vec::new() }
    }

    /// One whose client has room for so little, so that what it does not read stays with the hub.
    pub(crate) async fn open_small(address: SocketAddr, room_bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(room_bytes).expect("a socket has room");
        let socket = within("connecting", socket.connect(address)).await.expect("the hub accepts");
        Self { socket, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("sending", self.socket.write_all(bytes)).await.expect("the hub takes what is sent");
    }

    /// Reads more, at most this much; nothing more is `false`.
    pub(crate) async fn fill(&mut self, bytes_max: usize) -> std::io::Result<bool> {
        // Without room a vector offers its reader 64 bytes.
        self.buffer.reserve(bytes_max);
        let mut limited = (&mut self.socket).take(bytes_max as u64);
        let read = within("reading", limited.read_buf(&mut self.buffer)).await?;
        Ok(read > 0)
    }

    /// Whether the hub ends the connection, with nothing before it that was not asked for.
    pub(crate) async fn is_cut(&mut self) -> bool {
        self.buffer.is_empty() && !matches!(self.fill(1).await, Ok(true))
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Head {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let text = String::from_utf8(self.buffer.drain(..end + 4).collect()).expect("a head is ASCII");
                let head = Head::parse(text.trim_end());
                if head.status == 100 {
                    continue;
                }
                return head;
            }
            let more = self.fill(64 * 1024).await.expect("an answer comes");
            assert!(more, "the connection ended in the head: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Reads an answer with its body.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let head = self.head().await;
        let mut framing = if method == "HEAD" { Framing::Ended } else { Framing::of(&head) };
        let mut body = Vec::new();
        loop {
            framing.take(&mut self.buffer, &mut body);
            if framing == Framing::Ended {
                return Answer { head, body };
            }
            if !self.fill(64 * 1024).await.expect("the body comes") {
                assert_eq!(framing, Framing::ToTheEnd, "the connection ended in the body of {head:?}");
                return Answer { head, body };
            }
        }
    }
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a header: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { status: status.unwrap_or_else(|| panic!("a status: {first:?}")), headers: headers.collect() }
    }

    /// A header's value; a header that is there twice fails the test.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }
}

/// How a body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Ended,
    Length(usize),
    /// What is left of the chunk; its line end is still to come where it is 0.
    Chunk(usize),
    ChunkHead,
    ToTheEnd,
}

impl Framing {
    pub(crate) fn of(head: &Head) -> Self {
        match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some("chunked"), None) => Self::ChunkHead,
            (None, Some("0")) => Self::Ended,
            (None, Some(length)) => Self::Length(length.parse().expect("a length")),
            (None, None) if matches!(head.status, 204 | 304) => Self::Ended,
            (None, None) => Self::ToTheEnd,
            other => panic!("a framing: {other:?}"),
        }
    }

    /// Moves what is of the body from the bytes that were read.
    pub(crate) fn take(&mut self, read: &mut Vec<u8>, body: &mut Vec<u8>) {
        loop {
            match *self {
                Self::Ended => return,
                Self::ToTheEnd => {
                    body.append(read);
                    return;
                }
                Self::Length(left) => {
                    let taken = left.min(read.len());
                    body.extend(read.drain(..taken));
                    *self = if taken == left { Self::Ended } else { Self::Length(left - taken) };
                    return;
                }
                Self::ChunkHead => {
                    let Some(end) = read.windows(2).position(|window| window == b"\r\n") else { return };
                    let size = std::str::from_utf8(&read[..end]).ok();
                    let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
                    let size = size.unwrap_or_else(|| panic!("a chunk's size: {:?}", read[..end].escape_ascii()));
                    if size > 0 {
                        read.drain(..end + 2);
                        *self = Self::Chunk(size);
                    } else if read.len() >= end + 4 {
                        assert_eq!(read[end..end + 4], *b"\r\n\r\n", "a last chunk without trailers");
                        read.drain(..end + 4);
                        *self = Self::Ended;
                    } else {
                        return;
                    }
                }
                Self::Chunk(0) if read.len() < 2 => return,
                Self::Chunk(0) => {
                    assert_eq!(read[..2], *b"\r\n", "a chunk ends with its line");
                    read.drain(..2);
                    *self = Self::ChunkHead;
                }
                Self::Chunk(_) if read.is_empty() => return,
                Self::Chunk(left) => {
                    let taken = left.min(read.len());
                    body.extend(read.drain(..taken));
                    *self = Self::Chunk(left - taken);
                }
            }
        }
    }
}

/// An answer with its body.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a problem document with a status, and answers with its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.head.status, status, "{self:?}");
        assert_eq!(self.head.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], status, "{self:?}");
        assert_eq!(document["type"], "about:blank", "{self:?}");
        assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        document["detail"].as_str().unwrap_or_else(|| panic!("no detail: {self:?}")).to_owned()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(1024)]);
        f.debug_struct("Answer").field("head", &self.head).field("body", &body).finish()
    }
}
