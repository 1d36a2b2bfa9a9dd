//! One connection: what it has asked for, and where it stands among the readers of its channel.

use std::net::TcpStream;

use anyhow::Result;
use rustix::{
    io::Errno,
    net::{SendFlags, send},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    /// What is read of a request that is not complete.
    pub(crate) input: Vec<u8>,
    pub(crate) stream: Option<Place>,
}

/// A channel, and which of its readers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) channel: u32,
    pub(crate) reader: u32,
}

/// Writes as much as the socket takes; `None` if it takes nothing for good.
pub(crate) fn write(socket: &TcpStream, bytes: &[u8]) -> Result<Option<usize>> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(written) => Ok(Some(written)),
        Err(Errno::AGAIN) => Ok(Some(0)),
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
