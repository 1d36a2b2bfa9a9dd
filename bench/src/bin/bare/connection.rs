//! A connection: its incomplete request, and its channel if it is a stream.

use std::net::TcpStream;

use anyhow::Result;
use rustix::{
    io::Errno,
    net::{SendFlags, send},
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    /// The bytes of an incomplete request.
    pub(crate) input: Vec<u8>,
    pub(crate) stream: Option<ReaderIndex>,
}

/// The index of a channel and of a reader in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReaderIndex {
    pub(crate) channel: u32,
    pub(crate) reader: u32,
}

/// Writes as much as the socket takes. Returns `None` if the connection is broken.
pub(crate) fn write(socket: &TcpStream, bytes: &[u8]) -> Result<Option<usize>> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(written) => Ok(Some(written)),
        Err(Errno::AGAIN) => Ok(Some(0)),
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
