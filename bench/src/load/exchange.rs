//! A blocking connection for one request after the other: for what is set up before a measurement, and for requests whose
//! form allows no pipelining.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::responses::Responses;

/// The longest that a response may take.
const RESPONSE_WITHIN: Duration = Duration::from_secs(10);

/// The connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    socket: TcpStream,
    responses: Responses,
}

impl Exchange {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(RESPONSE_WITHIN))?;
        Ok(Self { socket, responses: Responses::default() })
    }

    /// Sends bytes without waiting for anything.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context("sending a request")
    }

    /// Waits for this many final responses more.
    pub(crate) fn wait(&mut self, responses: u64) -> Result<()> {
        let wanted = self.responses.count + responses;
        self.until(|responses| responses.count >= wanted && responses.is_whole())
    }

    /// Waits for a `100 Continue`.
    pub(crate) fn wait_to_continue(&mut self) -> Result<()> {
        let wanted = self.responses.interim + 1;
        self.until(|responses| responses.interim >= wanted)
    }

    fn until(&mut self, done: impl Fn(&Responses) -> bool) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        while !done(&self.responses) {
            let read = self.socket.read(&mut buffer).context("waiting for a response")?;
            ensure!(read > 0, "the server closed the connection of a request");
            self.responses.take(&buffer[..read])?;
        }
        Ok(())
    }
}
