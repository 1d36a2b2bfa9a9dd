//! A channel with events that a stream can resume behind.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use memchr::memmem;

use super::{
    exchange::Exchange,
    stamp::{STAMP_BYTES, Stamp, filling},
};
use crate::servers::{Server, dialect::PositionMark};

const DATA_BYTES: usize = 64;

/// The longest that the first event may take.
const ARRIVED_WITHIN: Duration = Duration::from_secs(10);

/// A channel whose events a stream resumes behind.
#[derive(Debug)]
pub(crate) struct History {
    /// The request that resumes.
    pub(crate) request: String,
    /// The data of each event that the resumed stream has to bring.
    missed: Vec<String>,
}

impl History {
    /// Reads the position of a first event from a stream, and publishes so many events after it.
    pub(crate) fn make(server: &Server, events: usize) -> Result<Self> {
        let mut stream = TcpStream::connect(server.address)?;
        stream.set_read_timeout(Some(ARRIVED_WITHIN))?;
        stream.write_all(server.stream_request(0..1).as_bytes())?;
        let mut input = Vec::new();
        read_until(&mut stream, &mut input, |input| memmem::find(input, b"\r\n\r\n").map(|_| ()))?;
        let mut publisher = Exchange::connect(server.address)?;
        let mut publish = |number: usize| -> Result<String> {
            let data = data(number);
            publisher.send(server.publish_request(0, &data).as_bytes())?;
            publisher.wait(1)?;
            Ok(data)
        };
        let first = publish(0)?;
        let PositionMark { before, after, follows_data } = server.position_mark();
        let position = read_until(&mut stream, &mut input, |input| {
            let data = memmem::find(input, first.as_bytes())?;
            let at = match follows_data {
                true => memmem::find(&input[data..], before)? + data,
                false => memmem::rfind(&input[..data], before)?,
            };
            let at = at + before.len();
            let end = memmem::find(&input[at..], after)? + at;
            Some(String::from_utf8_lossy(&input[at..end]).trim().to_owned())
        })?;
        let missed = (1..=events).map(publish).collect::<Result<_>>()?;
        Ok(Self { request: server.resume_request(&position), missed })
    }

    /// Returns whether a stream has brought every event.
    ///
    /// # Errors
    /// If the last event has come but another has not, or one twice.
    pub(crate) fn is_read(&self, body: &[u8]) -> Result<bool> {
        let Some(last) = self.missed.last() else { return Ok(true) };
        if memmem::find(body, last.as_bytes()).is_none() {
            return Ok(false);
        }
        let found = memmem::find_iter(body, &filling(DATA_BYTES)).count();
        ensure!(found == self.missed.len(), "a resumed stream has {found} of {} events", self.missed.len());
        Ok(true)
    }
}

fn data(number: usize) -> String {
    let mut data = [vec![0; STAMP_BYTES], filling(DATA_BYTES)].concat();
    Stamp { channel: 0, number: number as u32, serial: number as u32, at: 0 }.write(&mut data);
    String::from_utf8_lossy(&data).into_owned()
}

fn read_until<T>(stream: &mut TcpStream, input: &mut Vec<u8>, found: impl Fn(&[u8]) -> Option<T>) -> Result<T> {
    let mut buffer = [0; 4_096];
    loop {
        if let Some(found) = found(input) {
            return Ok(found);
        }
        let read = stream.read(&mut buffer).context("waiting for the first event")?;
        ensure!(read > 0, "the server ended a stream");
        input.extend_from_slice(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_stream_is_read_when_the_last_event_has_come_and_each_once() {
        let history = History { request: String::new(), missed: (1..=3).map(data).collect() };
        let body = |numbers: &[usize]| numbers.iter().map(|&number| format!("data: {}\n\n", data(number))).collect();
        let read = |numbers: &[usize]| history.is_read(String::as_bytes(&body(numbers)));
        assert!(!read(&[1, 2]).unwrap() && read(&[1, 2, 3]).unwrap());
        assert!(read(&[1, 3]).is_err() && read(&[1, 2, 2, 3]).is_err());
    }
}
