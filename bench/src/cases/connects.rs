//! Streams that begin: new ones and resumed ones, at a steady rate or all at once, as after a deployment.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use rustix::{event::epoll, fd::OwnedFd};

use super::Effort;
use crate::{
    figures::{Figures, Metric},
    load::{connect, history::History},
    servers::{Server, kernel::TcpCounters},
    stats::Histogram,
};

/// If this many streams of a steady rate have not begun, no further one is opened, and the rate falls.
const OPEN_MAX: usize = 4_000;

/// Connections opened between two checks of the others.
const OPENED_AT_ONCE: usize = 64;

/// How long the last streams may take.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// The steps of the drawn curve.
const STEP: Duration = Duration::from_millis(100);

/// The arrival of streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrivals {
    /// At a steady rate; each is closed as soon as it has begun.
    PerSecond(usize),
    /// As fast as the generator can connect; all stay.
    AtOnce(usize),
}

/// A stream that has not begun.
#[derive(Debug)]
struct Opening {
    socket: TcpStream,
    since: Instant,
    asked: bool,
    input: Vec<u8>,
}

/// Measures streams that are new, or that resume so many events behind.
pub(super) fn measure(server: &Server, effort: Effort, arrivals: Arrivals, behind: Option<usize>) -> Result<Figures> {
    server.create_channels(1)?;
    let history = behind.map(|events| History::make(server, events)).transpose()?;
    let request = match &history {
        Some(history) => history.request.clone(),
        None => server.stream_request(0..1),
    };
    let new = || -> Result<Connects> {
        Ok(Connects {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            request: &request,
            history: history.as_ref(),
            open: Vec::new(),
            free: Vec::new(),
            kept: matches!(arrivals, Arrivals::AtOnce(_)).then(Vec::new),
            begun: 0,
            latencies: Histogram::new(),
            live: Vec::new(),
        })
    };
    let (total, every) = match arrivals {
        Arrivals::PerSecond(rate) => {
            let rate = effort.scaled(rate);
            ((effort.time.as_secs_f64() * rate as f64).ceil() as usize, Duration::from_secs(1) / rate as u32)
        }
        Arrivals::AtOnce(number) => (effort.scaled(number), Duration::ZERO),
    };
    new()?.run(server, total / 5, every)?;
    let mut connects = new()?;
    let processes = server.processes()?;
    let (before, tcp_before) = (processes.cpu_time()?, TcpCounters::read()?);
    let took = connects.run(server, total, every)?;
    let cpu = processes.cpu_time()?.saturating_sub(before);
    let tcp = TcpCounters::read()?;
    let mut figures = Figures::default();
    figures.put(Metric::Connects, total as f64 / took.as_secs_f64());
    figures.put_latencies(&connects.latencies);
    figures.put(Metric::CpuOfConnects, cpu.as_secs_f64() * 1e6 / total as f64);
    figures.put(Metric::SynRetransmits, (tcp.syn_retransmits - tcp_before.syn_retransmits) as f64);
    figures.put(Metric::ListenOverflows, (tcp.listen_overflows - tcp_before.listen_overflows) as f64);
    if connects.kept.is_some() {
        figures.put(Metric::ConnectSeconds, took.as_secs_f64());
        figures.timeline = connects.live;
    }
    Ok(figures)
}

#[derive(Debug)]
struct Connects<'a> {
    epoll: OwnedFd,
    request: &'a str,
    history: Option<&'a History>,
    open: Vec<Option<Opening>>,
    free: Vec<usize>,
    /// The streams that have begun, if they stay.
    kept: Option<Vec<TcpStream>>,
    begun: usize,
    latencies: Histogram,
    /// How many streams have begun by the end of each [`STEP`].
    live: Vec<f64>,
}

impl Connects<'_> {
    /// Opens this many streams, and returns the time until the last one has begun.
    fn run(&mut self, server: &Server, total: usize, every: Duration) -> Result<Duration> {
        let began = Instant::now();
        let due_at = |opened: usize| every * opened as u32;
        let last_due = due_at(total);
        let open_max = if self.kept.is_some() { total } else { OPEN_MAX };
        let mut opened = 0;
        let mut ready = Vec::with_capacity(256);
        while self.begun < total {
            let since = began.elapsed();
            ensure!(since < last_due + GIVE_UP_AFTER, "{} of {total} streams have begun", self.begun);
            for _ in 0..OPENED_AT_ONCE {
                if opened < total && due_at(opened) <= since && self.open.len() - self.free.len() < open_max {
                    self.open(server)?;
                    opened += 1;
                }
            }
            let wait = if opened < total { due_at(opened).saturating_sub(began.elapsed()) } else { STEP };
            connect::wait(&self.epoll, &mut ready, wait.min(STEP))?;
            for event in &ready {
                self.advance(event.data.u64() as usize)?;
            }
            let step = (began.elapsed().as_nanos() / STEP.as_nanos()) as usize;
            self.live.resize(step + 1, self.live.last().copied().unwrap_or_default());
            self.live[step] = self.begun as f64;
        }
        Ok(began.elapsed())
    }

    fn open(&mut self, server: &Server) -> Result<()> {
        let since = Instant::now();
        let socket = connect::begin(server.address)?;
        let number = self.free.pop().unwrap_or(self.open.len());
        connect::watch(&self.epoll, &socket, number as u64)?;
        let opening = Some(Opening { socket, since, asked: false, input: Vec::new() });
        match self.open.get_mut(number) {
            Some(place) => *place = opening,
            None => self.open.push(opening),
        }
        Ok(())
    }

    /// Sends the request, and reads until the stream has begun.
    fn advance(&mut self, number: usize) -> Result<()> {
        let Some(Some(opening)) = self.open.get_mut(number) else { return Ok(()) };
        if !opening.asked {
            match opening.socket.write(self.request.as_bytes()) {
                Ok(written) => ensure!(written == self.request.len(), "a request was cut"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return Err(error).context("asking for a stream"),
            }
            opening.asked = true;
        }
        let mut buffer = [0; 32 * 1024];
        loop {
            match opening.socket.read(&mut buffer) {
                Ok(read) => {
                    ensure!(read > 0, "the server ended a stream at once");
                    opening.input.extend_from_slice(&buffer[..read]);
                    if read == buffer.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("a stream"),
            }
            break;
        }
        let Some(head) = memmem::find(&opening.input, b"\r\n\r\n") else { return Ok(()) };
        let refused = || format!("a stream was refused: {}", String::from_utf8_lossy(&opening.input));
        ensure!(opening.input.starts_with(b"HTTP/1.1 200"), refused());
        if let Some(history) = self.history
            && !history.is_read(&opening.input[head..])?
        {
            return Ok(());
        }
        self.latencies.note(opening.since.elapsed().as_nanos() as u64);
        self.begun += 1;
        self.free.push(number);
        let begun = self.open[number].take();
        if let (Some(kept), Some(begun)) = (&mut self.kept, begun) {
            kept.push(begun.socket);
        }
        Ok(())
    }
}
