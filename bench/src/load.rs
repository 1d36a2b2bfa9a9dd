//! Subscribers and a publisher over one epoll, in one thread: no task, no timer and no allocation per subscriber, so
//! that what is measured is the server.
//!
//! Each event's data says when it was published, on the clock of this process, so publishing and receiving are read off
//! one clock. What it takes to read from all the sockets in turn is in the figures, the same for every server.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem::{self, Finder};
use rustix::event::{Timespec, epoll};

/// Bytes of an event's data.
pub(crate) const DATA_BYTES: usize = 64;

/// What of the data says which event it is: ten digits, a space, and nanoseconds in twenty.
const HEAD_BYTES: usize = 10 + 1 + 20;

/// How long nothing may arrive before what is missing counts as lost.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// Events before those that count, so that caches and buffers are warm.
const WARM_UP: usize = 20;

/// What a round brought.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// From before the publish was written until after the event was read, of every delivery.
    latencies: Vec<Duration>,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) reordered: usize,
}

impl Outcome {
    pub(crate) fn deliveries(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that this share of the deliveries did not exceed, in microseconds.
    pub(crate) fn latency_us(&mut self, share: f64) -> f64 {
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let at = ((self.latencies.len() - 1) as f64 * share).round() as usize;
        let (_, latency, _) = self.latencies.select_nth_unstable(at);
        latency.as_nanos() as f64 / 1e3
    }
}

/// Subscribers that are connected, and a publisher.
#[derive(Debug)]
pub(crate) struct Load {
    epoll: std::os::fd::OwnedFd,
    subscribers: Vec<Subscriber>,
    publisher: TcpStream,
    began: Instant,
    published: usize,
    outcome: Outcome,
    line: Finder<'static>,
}

#[derive(Debug)]
struct Subscriber {
    socket: TcpStream,
    /// What was read of an event that is not complete.
    rest: Vec<u8>,
    /// A bit for each event that has arrived.
    seen: Vec<u64>,
    next: usize,
}

impl Load {
    /// Connects, and waits until each stream has begun.
    pub(crate) fn connect(address: SocketAddr, subscribers: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let publisher = TcpStream::connect(address)?;
        publisher.set_nodelay(true)?;
        publisher.set_nonblocking(true)?;
        epoll::add(&epoll, &publisher, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
        let mut sockets = (0..subscribers).map(|_| TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
        for socket in &mut sockets {
            write!(socket, "GET /stream HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        }
        let mut connected = Vec::with_capacity(subscribers);
        for (mut socket, number) in sockets.into_iter().zip(0..) {
            read_head(&mut socket)?;
            socket.set_nonblocking(true)?;
            epoll::add(&epoll, &socket, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
            connected.push(Subscriber { socket, rest: Vec::new(), seen: Vec::new(), next: 0 });
        }
        Ok(Self {
            epoll,
            subscribers: connected,
            publisher,
            began: Instant::now(),
            published: 0,
            outcome: Outcome::default(),
            line: Finder::new(b"\ndata: "),
        })
    }

    /// Publishes some events that don't count.
    pub(crate) fn warm_up(&mut self, every: Duration) -> Result<()> {
        self.publish_all(WARM_UP, every)?;
        self.outcome = Outcome::default();
        Ok(())
    }

    /// Publishes events at a steady rate, whether the earlier ones have arrived or not, and receives them all.
    pub(crate) fn run(mut self, events: usize, every: Duration) -> Result<Outcome> {
        self.outcome.latencies.reserve(events * self.subscribers.len());
        self.publish_all(events, every)?;
        Ok(self.outcome)
    }

    fn publish_all(&mut self, events: usize, every: Duration) -> Result<()> {
        let first = self.published;
        let last = first + events;
        for subscriber in &mut self.subscribers {
            subscriber.seen.resize(last.div_ceil(64), 0);
        }
        let wanted = events * self.subscribers.len();
        let arrived_before = self.outcome.deliveries() + self.outcome.doubled;
        let start = Instant::now();
        let mut progress = Instant::now();
        let mut ready = Vec::with_capacity(1_024);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let arrived = self.outcome.deliveries() + self.outcome.doubled - arrived_before;
            let now = Instant::now();
            let wait = if self.published < last {
                let due = start + every * u32::try_from(self.published - first)?;
                if due <= now {
                    self.publish()?;
                    progress = now;
                    continue;
                }
                due - now
            } else if arrived >= wanted || now > progress + GIVE_UP_AFTER {
                self.outcome.lost += wanted.saturating_sub(arrived);
                return Ok(());
            } else {
                Duration::from_millis(100)
            };
            ready.clear();
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&wait))?;
            for event in &ready {
                let read = match event.data.u64() {
                    u64::MAX => read_answer(&mut self.publisher, &mut buffer)?,
                    number => {
                        let subscriber = &mut self.subscribers[number as usize];
                        subscriber.receive(&mut buffer, &self.line, first, self.began, &mut self.outcome)?
                    }
                };
                if read {
                    progress = Instant::now();
                }
            }
        }
    }

    fn publish(&mut self) -> Result<()> {
        let address = self.publisher.peer_addr()?;
        let head = format!(
            "POST /publish HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\nContent-Length: {DATA_BYTES}\r\n\r\n"
        );
        let at = self.began.elapsed().as_nanos();
        let data = format!("{:010} {at:020} ", self.published);
        let request = format!("{head}{data:x<DATA_BYTES$}");
        // A socket that takes no request of this size is one whose server has stopped reading: no load to measure.
        self.publisher.write_all(request.as_bytes()).context("the server does not take publishes as fast")?;
        self.published += 1;
        Ok(())
    }
}

impl Subscriber {
    /// Reads what has come, and notes each event in it. Answers whether there was any.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        line: &Finder<'_>,
        first: usize,
        began: Instant,
        outcome: &mut Outcome,
    ) -> Result<bool> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.socket.read(&mut buffer[kept..]) {
            Ok(0) => bail!("the server ended a stream"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let now = began.elapsed();
        let mut bytes = &buffer[..kept + read];
        while let Some(at) = line.find(bytes) {
            let data = &bytes[at + line.needle().len()..];
            let Some(head) = data.get(..HEAD_BYTES) else { break };
            let (number, nanos) = std::str::from_utf8(head)?.split_once(' ').context("not our data")?;
            self.note(number.parse()?, now - Duration::from_nanos(nanos.parse()?), first, outcome);
            bytes = &data[HEAD_BYTES..];
        }
        // All that may be the beginning of an event, or of its data.
        let from = line.find(bytes).unwrap_or_else(|| bytes.len().saturating_sub(line.needle().len() - 1));
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[from..]);
        Ok(true)
    }

    fn note(&mut self, number: usize, latency: Duration, first: usize, outcome: &mut Outcome) {
        let bit = 1 << (number % 64);
        let Some(word) = self.seen.get_mut(number / 64) else { return };
        if *word & bit != 0 {
            outcome.doubled += 1;
            return;
        }
        *word |= bit;
        if number < self.next {
            outcome.reordered += 1;
        }
        self.next = self.next.max(number + 1);
        if number >= first {
            outcome.latencies.push(latency);
        }
    }
}

/// Reads a response's head. A first block behind it may come along: nothing of it counts.
fn read_head(socket: &mut TcpStream) -> Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(socket.read(&mut byte)? == 1, "the server ended a stream at once");
        head.extend_from_slice(&byte);
    }
    ensure!(head.starts_with(b"HTTP/1.1 200"), "the server refuses: {}", String::from_utf8_lossy(&head));
    Ok(())
}

/// Reads what publishes are answered with. A refusal ends the run.
fn read_answer(publisher: &mut TcpStream, buffer: &mut [u8]) -> Result<bool> {
    match publisher.read(buffer) {
        Ok(0) => bail!("the server closed the publisher's connection"),
        Ok(read) => {
            let refused = memmem::find(&buffer[..read], b"HTTP/1.1 4").or(memmem::find(&buffer[..read], b"HTTP/1.1 5"));
            ensure!(refused.is_none(), "a publish was refused: {}", String::from_utf8_lossy(&buffer[..read]));
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
