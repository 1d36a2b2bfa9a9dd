//! A minimal HTTP/2 client that opens many streams on one connection.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// The flag of a SETTINGS frame. In HEADERS, 1 ends the stream and 4 the headers.
const ACK: u8 = 1;

/// A connection and the body of each stream so far.
#[derive(Debug)]
pub(super) struct Http2 {
    socket: TcpStream,
    buffer: Vec<u8>,
    pub(super) bodies: BTreeMap<u32, Vec<u8>>,
}

impl Http2 {
    /// Sends a request for each target at once.
    pub(super) async fn get(address: SocketAddr, targets: &[String]) -> Self {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        put_frame(&mut bytes, SETTINGS, 0, 0, &[]);
        let mut bodies = BTreeMap::new();
        for (stream, target) in (1..).step_by(2).zip(targets) {
            let mut headers = Vec::new();
            let authority = address.to_string();
            for (name, value) in
                [(":method", "GET"), (":scheme", "http"), (":path", target), (":authority", &authority)]
            {
                // A literal field with its name, neither indexed nor compressed.
                headers.push(0);
                for text in [name, value] {
                    headers.push(u8::try_from(text.len()).expect("it is short"));
                    headers.extend_from_slice(text.as_bytes());
                }
            }
            put_frame(&mut bytes, HEADERS, 1 | 4, stream, &headers);
            bodies.insert(stream, Vec::new());
        }
        let mut socket = TcpStream::connect(address).await.expect("the proxy accepts");
        socket.write_all(&bytes).await.expect("the proxy reads");
        Self { socket, buffer: Vec::new(), bodies }
    }

    /// Reads once from the connection. The test sends fewer bytes than the initial flow-control windows allow.
    pub(super) async fn read(&mut self) {
        let read = self.socket.read_buf(&mut self.buffer).await.expect("the connection lives");
        assert!(read > 0, "the proxy closed the connection");
        while let Some((head, rest)) = self.buffer.split_at_checked(9) {
            let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some(payload) = rest.get(..len) else { return };
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            match kind {
                DATA => self.bodies.entry(stream).or_default().extend_from_slice(payload),
                SETTINGS if flags & ACK == 0 => {
                    let mut response = Vec::new();
                    put_frame(&mut response, SETTINGS, ACK, 0, &[]);
                    self.socket.write_all(&response).await.expect("the proxy reads");
                }
                _ => {}
            }
            self.buffer.drain(..9 + len);
        }
    }
}

fn put_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(payload.len()).expect("it is short").to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}
