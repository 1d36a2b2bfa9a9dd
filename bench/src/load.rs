//! Subscribers and publishers over one epoll in one thread, without tasks, timers or allocations per delivery, so that
//! the server is measured and not the generator.
//!
//! Each event has its time of publishing on this process' clock, which also times its arrival. The figures include the
//! time to read all sockets in turn, which is the same for every server.

pub(crate) mod checker;
pub(crate) mod connect;
pub(crate) mod exchange;
pub(crate) mod form;
pub(crate) mod history;
pub(crate) mod ledger;
pub(crate) mod publisher;
pub(crate) mod responses;
pub(crate) mod stamp;
pub(crate) mod stream;

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{event::epoll, fd::OwnedFd};

use self::{
    checker::Faults,
    ledger::{Ledger, Plan},
    publisher::{Publisher, Requests},
    stream::{Reading, Stream},
};
use crate::{servers::Server, stats::Histogram};

/// How long a run waits for the next event before it ends and counts the missing ones as lost.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// How long all connections together may take to open.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// Events taken from epoll at once: few, so that a publish is not delayed by much.
const READY_MAX: usize = 256;

const BUFFER_BYTES: usize = 64 * 1024;

/// The publishing connections are numbered from here down, the subscribers from 0 up.
const FIRST_PUBLISHER: u64 = u64::MAX;

/// When the next event is published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// At a steady rate, whether earlier events have arrived or not.
    Every(Duration),
    /// While fewer than this many events are under way: not delivered to all subscribers, or not acknowledged if there
    /// are none.
    InFlight(u64),
    /// As soon as the last one of the same connection has arrived everywhere and been acknowledged.
    OneEach,
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) publishes: u64,
    pub(crate) deliveries: u64,
    /// The time from the first publish to the last delivery and response.
    pub(crate) took: Duration,
    /// The times from before the publish was written to after the event was read.
    pub(crate) latencies: Histogram,
}

/// Connected subscribers and one or more publishers.
pub(crate) struct Load {
    epoll: OwnedFd,
    subscribers: Vec<Subscriber>,
    publishers: Vec<Publisher>,
    requests: Requests,
    reading: Reading,
    ledger: Ledger,
    clock: Instant,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Subscriber {
    socket: TcpStream,
    request: String,
    stream: Stream,
    asked: bool,
}

impl Load {
    /// Connects all at once and waits until each stream has begun.
    pub(crate) fn connect(server: &Server, plan: Plan) -> Result<Self> {
        server.create_channels(plan.channels)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut load = Self {
            epoll,
            subscribers: Vec::with_capacity(plan.subscribers),
            publishers: Vec::new(),
            requests: Requests::new(server, plan.channels, plan.data_bytes)?,
            reading: Reading::new(plan.data_bytes, server.wrapping()),
            ledger: Ledger::new(plan),
            clock: Instant::now(),
            ready: Vec::with_capacity(READY_MAX),
            buffer: vec![0; BUFFER_BYTES],
        };
        load.publish_over(server, 1)?;
        let way = |number| {
            let first = plan.first_channel(number);
            server.route_to_stream(first..first + plan.channels_each)
        };
        // Prepared before the first connects, so that no connection waits for its request.
        let ways = (0..plan.subscribers).map(way).collect::<Result<Vec<_>>>()?;
        for (number, (address, request)) in ways.into_iter().enumerate() {
            let socket = connect::begin(address)?;
            connect::watch(&load.epoll, &socket, number as u64)?;
            load.subscribers.push(Subscriber { socket, request, stream: Stream::default(), asked: false });
        }
        load.begin_streams(server, plan).context("the streams do not begin")?;
        Ok(load)
    }

    /// Opens connections until this many publish, to be used in turn.
    pub(crate) fn publish_over(&mut self, server: &Server, connections: usize) -> Result<()> {
        while self.publishers.len() < connections {
            let publisher = Publisher::connect(server)?;
            connect::watch(&self.epoll, &publisher.socket, FIRST_PUBLISHER - self.publishers.len() as u64)?;
            self.publishers.push(publisher);
        }
        Ok(())
    }

    /// Publishes for this time and then waits until everything has arrived.
    pub(crate) fn run(&mut self, pace: Pace, time: Duration) -> Result<Outcome> {
        self.ledger.latencies = Histogram::new();
        let (published, delivered) = (self.ledger.published, self.ledger.delivered);
        let began = self.clock.elapsed();
        let (mut moved, mut progress) = ((0, 0), began);
        loop {
            let now = self.clock.elapsed();
            let publishing = now < began + time;
            if publishing {
                self.publish_due(pace, published, now - began);
            }
            self.publishers.iter_mut().try_for_each(Publisher::flush)?;
            let acknowledged = self.acknowledged();
            let at = (self.ledger.delivered, acknowledged);
            if at != moved {
                (moved, progress) = (at, now);
            }
            let drained = self.ledger.is_drained() && acknowledged == self.ledger.published;
            if (drained && !publishing) || now > progress + GIVE_UP_AFTER {
                break;
            }
            let wait = match pace {
                Pace::Every(every) if publishing => {
                    let due = began + every * u32::try_from(self.ledger.published - published)?;
                    due.saturating_sub(now)
                }
                _ => Duration::from_millis(100),
            };
            self.poll(wait)?;
        }
        Ok(Outcome {
            publishes: self.ledger.published - published,
            deliveries: self.ledger.delivered - delivered,
            took: progress - began,
            latencies: self.ledger.latencies.clone(),
        })
    }

    /// Returns the faults since the beginning.
    pub(crate) fn faults(&self) -> Faults {
        self.ledger.faults()
    }

    fn acknowledged(&self) -> u64 {
        self.publishers.iter().map(Publisher::acknowledged).sum()
    }

    fn publish_due(&mut self, pace: Pace, published_before: u64, since: Duration) {
        let in_flight = match self.subscribers.len() {
            0 => self.ledger.published - self.acknowledged(),
            _ => self.ledger.published - self.ledger.completed,
        };
        let due = match pace {
            Pace::InFlight(most) => most.saturating_sub(in_flight),
            Pace::Every(every) => {
                let due = since.as_nanos() / every.as_nanos() + 1;
                (due as u64).saturating_sub(self.ledger.published - published_before)
            }
            Pace::OneEach => {
                for number in 0..self.publishers.len() {
                    let idle_since = self.publishers[number].idle_since();
                    if idle_since.is_some_and(|serial| self.ledger.has_arrived(serial)) {
                        self.publish(number);
                    }
                }
                return;
            }
        };
        for _ in 0..due {
            self.publish(self.ledger.published as usize % self.publishers.len());
        }
    }

    fn publish(&mut self, publisher: usize) {
        let at = self.clock.elapsed().as_nanos() as u64;
        self.publishers[publisher].push(&mut self.requests, &self.ledger.publish(at));
    }

    fn begin_streams(&mut self, server: &Server, plan: Plan) -> Result<()> {
        let deadline = self.clock.elapsed() + CONNECTED_WITHIN;
        let (mut asked, mut begun) = (0, 0);
        while begun < plan.subscribers {
            ensure!(self.clock.elapsed() < deadline, "{begun} of {} within {CONNECTED_WITHIN:?}", plan.subscribers);
            connect::wait(&self.epoll, &mut self.ready, Duration::from_millis(100))?;
            for at in 0..self.ready.len() {
                let (number, flags) = (self.ready[at].data.u64(), self.ready[at].flags);
                let Some(subscriber) = self.subscribers.get_mut(number as usize) else { continue };
                if !subscriber.asked && flags.contains(epoll::EventFlags::OUT) {
                    let request = subscriber.request.as_bytes();
                    ensure!(subscriber.socket.write(request)? == request.len(), "a request was written in part only");
                    subscriber.asked = true;
                    asked += 1;
                }
                let had_begun = subscriber.stream.has_begun();
                if subscriber.asked {
                    self.receive(number as usize, false)?;
                }
                begun += usize::from(!had_begun && self.subscribers[number as usize].stream.has_begun());
            }
            if asked == plan.subscribers {
                begun = server.subscribers_on_redis(plan.channels)?.unwrap_or(begun);
            }
        }
        Ok(())
    }

    /// Waits for the given time or less and handles the ready sockets.
    fn poll(&mut self, time: Duration) -> Result<()> {
        connect::wait(&self.epoll, &mut self.ready, time)?;
        for at in 0..self.ready.len() {
            let (number, flags) = (self.ready[at].data.u64(), self.ready[at].flags);
            let publisher = (FIRST_PUBLISHER - number) as usize;
            if let Some(publisher) = self.publishers.get_mut(publisher) {
                publisher.read(&mut self.buffer)?;
            } else if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::HUP) {
                self.receive(number as usize, flags.contains(epoll::EventFlags::RDHUP))?;
            }
        }
        Ok(())
    }

    /// Reads what a subscriber has received. A read that does not fill the buffer has emptied the socket; later bytes
    /// are a new edge.
    fn receive(&mut self, number: usize, to_its_end: bool) -> Result<()> {
        let Subscriber { socket, stream, .. } = &mut self.subscribers[number];
        loop {
            let read = match socket.read(&mut self.buffer) {
                Ok(0) => bail!("the server ended a stream"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("a stream"),
            };
            let now = self.clock.elapsed().as_nanos() as u64;
            let ledger = &mut self.ledger;
            self.reading.read(stream, &self.buffer[..read], &mut |found| ledger.receive(number, found, now))?;
            ensure!(!stream.has_ended(), "the server ended a stream");
            if read < self.buffer.len() && !to_its_end {
                return Ok(());
            }
        }
    }
}
