//! A connection that publishes: pipelined requests and their responses.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;

use super::{
    responses::Responses,
    stamp::{STAMP_BYTES, Stamp, blank},
};
use crate::servers::Server;

/// If this many bytes wait to be written, the server counts as stuck and the run ends.
const OUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request for each channel, of which only the data changes.
#[derive(Debug)]
pub(crate) struct Requests(Vec<Request>);

#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    data_at: usize,
}

impl Requests {
    pub(crate) fn new(server: &Server, channels: usize, data_bytes: usize) -> Result<Self> {
        let data = blank(data_bytes);
        let request = |channel| {
            let bytes = server.publish_request(channel, &data).into_bytes();
            // The data are at the end, except for the end of a JSON document.
            let data_at = memmem::rfind(&bytes, data.as_bytes()).context("a request lacks its data")?;
            Ok(Request { bytes, data_at })
        };
        Ok(Self((0..channels).map(request).collect::<Result<_>>()?))
    }

    fn stamped(&mut self, stamp: &Stamp) -> &[u8] {
        let request = &mut self.0[stamp.channel as usize];
        stamp.write(&mut request.bytes[request.data_at..][..STAMP_BYTES]);
        &request.bytes
    }
}

/// The publishing connection.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    out: Vec<u8>,
    /// How many bytes of `out` have been written.
    written: usize,
    pushed: u64,
    /// The serial number of the last event pushed.
    last: u32,
    responses: Responses,
}

impl Publisher {
    pub(crate) fn connect(server: &Server) -> Result<Self> {
        let socket = TcpStream::connect(server.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, out: Vec::new(), written: 0, pushed: 0, last: 0, responses: Responses::default() })
    }

    /// Queues a publish.
    pub(crate) fn push(&mut self, requests: &mut Requests, stamp: &Stamp) {
        self.out.extend_from_slice(requests.stamped(stamp));
        self.pushed += 1;
        self.last = stamp.serial;
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.responses.count
    }

    /// Returns the serial number of the last event pushed, if every publish was acknowledged; 0 if nothing was pushed.
    pub(crate) fn idle_since(&self) -> Option<u32> {
        (self.responses.count == self.pushed).then_some(self.last)
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
                Ok(read) => self.responses.take(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("reading responses"),
            }
        }
    }
}
