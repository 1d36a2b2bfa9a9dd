//! A client of HTTP/1.1 that sends bytes as they are given and fails on every error of framing in a response.

use std::{fmt, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::within;

/// Returns the bytes of a request. `Host` and `Content-Length` are added unless the headers have them.
pub fn request_bytes(
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

/// Returns a text with every byte percent-encoded.
pub fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Sends a request on a new connection and reads the response.
pub async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> HttpResponse {
    let mut connection = HttpConnection::open(address).await;
    connection.send(&request_bytes(address, method, target, headers, body)).await;
    connection.response(method).await
}

/// A connection to a server.
#[derive(Debug)]
pub struct HttpConnection {
    /// The socket.
    pub socket: TcpStream,
    /// The bytes that were read and not used yet.
    pub buffer: Vec<u8>,
}

impl HttpConnection {
    /// Connects to a server.
    pub async fn open(address: SocketAddr) -> Self {
        let socket = within("connecting", TcpStream::connect(address)).await.expect("the server accepts");
        Self { socket, buffer: Vec::new() }
    }

    /// Connects with a small receive buffer, so that unread data stay with the server.
    pub async fn open_with_receive_buffer(address: SocketAddr, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(bytes).expect("a socket has a receive buffer");
        let socket = within("connecting", socket.connect(address)).await.expect("the server accepts");
        Self { socket, buffer: Vec::new() }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        within("sending", self.socket.write_all(bytes)).await.expect("the server reads");
    }

    /// Reads up to this many further bytes. Returns `false` if the connection was ended.
    ///
    /// # Errors
    ///
    /// If the connection was reset.
    pub async fn fill(&mut self, bytes_max: usize) -> std::io::Result<bool> {
        // Without room a vector offers its reader 64 bytes.
        self.buffer.reserve(bytes_max);
        let mut limited = (&mut self.socket).take(bytes_max as u64);
        let read = within("reading", limited.read_buf(&mut self.buffer)).await?;
        Ok(read > 0)
    }

    /// Waits for a byte or the end of the connection. Returns whether it ended without any further byte.
    pub async fn is_cut(&mut self) -> bool {
        self.buffer.is_empty() && !matches!(self.fill(1).await, Ok(true))
    }

    /// Reads the head of a response; informational ones are skipped.
    pub async fn head(&mut self) -> ResponseHead {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let text = String::from_utf8(self.buffer.drain(..end + 4).collect()).expect("a head is ASCII");
                let head = ResponseHead::parse(text.trim_end());
                if head.status == 100 {
                    continue;
                }
                return head;
            }
            let more = self.fill(64 * 1024).await.expect("a response arrives");
            assert!(more, "the connection ended in the head: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Reads a response to a request of this method.
    pub async fn response(&mut self, method: &str) -> HttpResponse {
        let head = self.head().await;
        let mut framing = if method == "HEAD" { BodyFraming::Ended } else { BodyFraming::of(&head) };
        let mut body = Vec::new();
        loop {
            framing.take(&mut self.buffer, &mut body);
            if framing == BodyFraming::Ended {
                return HttpResponse { head, body };
            }
            if !self.fill(64 * 1024).await.expect("the body arrives") {
                assert_eq!(framing, BodyFraming::UntilClose, "the connection ended in the body of {head:?}");
                return HttpResponse { head, body };
            }
        }
    }
}

/// The head of a response.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The names in lower case, and the values.
    pub headers: Vec<(String, String)>,
}

impl ResponseHead {
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

    /// Returns the value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        value
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    Ended,
    /// How many bytes are left.
    Length(usize),
    /// How many bytes of the chunk are left; if none, its line end is.
    Chunk(usize),
    ChunkHead,
    UntilClose,
}

impl BodyFraming {
    pub(crate) fn of(head: &ResponseHead) -> Self {
        match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some("chunked"), None) => Self::ChunkHead,
            (None, Some("0")) => Self::Ended,
            (None, Some(length)) => Self::Length(length.parse().expect("a length")),
            (None, None) if matches!(head.status, 204 | 304) => Self::Ended,
            (None, None) => Self::UntilClose,
            other => panic!("a framing: {other:?}"),
        }
    }

    /// Moves the bytes of the body from the bytes that were read.
    pub(crate) fn take(&mut self, read: &mut Vec<u8>, body: &mut Vec<u8>) {
        loop {
            match *self {
                Self::Ended => return,
                Self::UntilClose => {
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

/// A response with its body.
#[derive(Clone)]
pub struct HttpResponse {
    /// The status and the headers.
    pub head: ResponseHead,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a problem document (RFC 9457) with a status, and returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.head.status, status, "{self:?}");
        assert_eq!(self.head.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], status, "{self:?}");
        assert_eq!(document["type"], "about:blank", "{self:?}");
        assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        document["detail"].as_str().unwrap_or_else(|| panic!("no detail: {self:?}")).to_owned()
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(1024)]);
        f.debug_struct("HttpResponse").field("head", &self.head).field("body", &body).finish()
    }
}
