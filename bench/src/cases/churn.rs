//! Pages that open and close: streams are requested at a steady rate and closed as soon as they have begun.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::{event::epoll, fd::OwnedFd};

use super::Effort;
use crate::{
    figures::{Figures, Metric},
    load::connect,
    servers::Server,
    stats::Histogram,
};

const PER_SECOND: u32 = 1_000;

/// The limit of streams that have not begun. At the limit the rate falls.
const OPEN_MAX: usize = 4_000;

/// How long the last streams may take to begin.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// A stream that has not begun.
#[derive(Debug)]
struct Opening {
    socket: TcpStream,
    since: Instant,
    asked: bool,
    head: Vec<u8>,
}

pub(super) fn measure(server: &Server, effort: Effort) -> Result<Figures> {
    let mut churn = Churn {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        request: server.stream_request(0..1),
        open: Vec::new(),
        free: Vec::new(),
        begun: 0,
        latencies: Histogram::new(),
    };
    churn.run(server, effort.time / 5)?;
    (churn.begun, churn.latencies) = (0, Histogram::new());
    let processes = server.processes()?;
    let before = processes.cpu_time()?;
    let took = churn.run(server, effort.time)?;
    let cpu = processes.cpu_time()?.saturating_sub(before);
    let mut figures = Figures::default();
    figures.put(Metric::Connects, churn.begun as f64 / took.as_secs_f64());
    figures.put_latencies(&churn.latencies);
    figures.put(Metric::CpuOfConnects, cpu.as_secs_f64() * 1e6 / churn.begun as f64);
    Ok(figures)
}

#[derive(Debug)]
struct Churn {
    epoll: OwnedFd,
    request: String,
    open: Vec<Option<Opening>>,
    free: Vec<usize>,
    begun: u64,
    latencies: Histogram,
}

impl Churn {
    fn run(&mut self, server: &Server, time: Duration) -> Result<Duration> {
        let began = Instant::now();
        let every = Duration::from_secs(1) / PER_SECOND;
        let mut opened = 0;
        let mut ready = Vec::with_capacity(256);
        loop {
            let since = began.elapsed();
            while since < time && every * opened <= since && self.open.len() - self.free.len() < OPEN_MAX {
                self.open(server)?;
                opened += 1;
            }
            if since >= time && self.open.len() == self.free.len() {
                return Ok(since);
            }
            ensure!(since < time + GIVE_UP_AFTER, "streams do not begin");
            connect::wait(&self.epoll, &mut ready, (every * opened).saturating_sub(since).max(every / 10))?;
            for event in &ready {
                self.progress(event.data.u64() as usize)?;
            }
        }
    }

    fn open(&mut self, server: &Server) -> Result<()> {
        let since = Instant::now();
        let socket = connect::begin(server.address)?;
        let number = self.free.pop().unwrap_or(self.open.len());
        connect::watch(&self.epoll, &socket, number as u64)?;
        let opening = Some(Opening { socket, since, asked: false, head: Vec::new() });
        match self.open.get_mut(number) {
            Some(place) => *place = opening,
            None => self.open.push(opening),
        }
        Ok(())
    }

    /// Sends the request, reads the head and closes.
    fn progress(&mut self, number: usize) -> Result<()> {
        let Some(opening) = &mut self.open[number] else { return Ok(()) };
        if !opening.asked {
            match opening.socket.write(self.request.as_bytes()) {
                Ok(written) => ensure!(written == self.request.len(), "a request was written in part only"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return Err(error).context("asking for a stream"),
            }
            opening.asked = true;
        }
        let mut buffer = [0; 2_048];
        match opening.socket.read(&mut buffer) {
            Ok(read) => {
                ensure!(read > 0, "the server ended a stream at once");
                opening.head.extend_from_slice(&buffer[..read]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a stream"),
        }
        if !opening.head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(());
        }
        let refused = || format!("a stream was refused: {}", String::from_utf8_lossy(&opening.head));
        ensure!(opening.head.starts_with(b"HTTP/1.1 200"), refused());
        self.latencies.note(opening.since.elapsed().as_nanos() as u64);
        self.begun += 1;
        self.open[number] = None;
        self.free.push(number);
        Ok(())
    }
}
