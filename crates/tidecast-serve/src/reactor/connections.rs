//! All that a reactor has, and what happens to one connection of it at a time.
//!
//! Only values and sockets here, no thread and no waiting: whoever holds the lock calls this. What is done for all readers
//! of a channel is in [`round`](super::round), whole subscriptions are in [`full_stream`](super::full_stream), deadlines in
//! [`timers`](super::timers), and ends in [`closing`](super::closing).

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::epoll;
use tidecast::{Batch, ReaderGroups};
use tidecast_axum::{StreamOptions, internals::jitter};

use super::{
    Member,
    chunk::{Framing, Pending, Written, write},
    entry::{Entry, Phase, Source, Whole},
    read_cache::{Look, Seen},
    round::Channels,
    slab::{Slab, Token},
    task_queue::{Inbox, Mail},
    wheel::{NEVER, Tick, Wheel},
};
use crate::{config::Config, detach::Detached, observe::metrics::Counters};

/// How many writes one connection gets before another has its turn.
pub(super) const WRITES_MAX: usize = 8;

/// How long a client whose stream has ended has to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Connections {
    pub(super) taps: ReaderGroups,
    pub(super) entries: Slab<Entry>,
    pub(super) channels: Channels,
    /// Whole subscriptions to be polled.
    pub(super) woken: VecDeque<Token>,
    pub(super) wheel: Wheel,
    pub(super) times: Times,
    started: Instant,
    /// The tick of the last look at the clock: a thread that sends while this one sleeps has it late by less than one.
    pub(super) now: Tick,
    /// Whether every stream is to end.
    ending: bool,
    pub(super) options: StreamOptions,
    epoll: Arc<OwnedFd>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) batch: Batch,
    pub(super) scratch: Box<[u8]>,
}

/// Deadlines, in ticks.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) keep_alive: Tick,
    pub(super) stall: Tick,
    pub(super) close: Tick,
}

/// What came of giving a reader of a channel what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// It has all, or waits for its socket.
    Done,
    /// It has had its turn, and there is more.
    More,
}

impl Connections {
    pub(super) fn new(
        taps: ReaderGroups,
        epoll: Arc<OwnedFd>,
        inbox: Arc<Inbox>,
        config: &Config,
        counters: Arc<Counters>,
    ) -> Self {
        let options = config.streams.clone();
        let wheel = Wheel::for_shortest_of([options.keep_alive, config.stall_timeout, options.lifetime]);
        let keep_alive = if options.keep_alive.is_zero() { NEVER } else { wheel.ticks(options.keep_alive) };
        let times = Times {
            keep_alive,
            stall: wheel.ticks(config.stall_timeout),
            close: wheel.ticks(config.stop_timeout.min(CLOSE_TIMEOUT)),
        };
        Self {
            taps,
            entries: Slab::new(),
            channels: Channels::default(),
            woken: VecDeque::new(),
            wheel,
            times,
            started: Instant::now(),
            now: 0,
            ending: false,
            options,
            epoll,
            inbox,
            counters,
            batch: Batch::new(),
            scratch: vec![0; 16 * 1024].into(),
        }
    }

    /// Does what other threads asked for.
    pub(super) fn open(&mut self, mail: &mut Mail) {
        for key in mail.dirty.drain(..) {
            self.channels.mark(key);
        }
        self.woken.extend(mail.woken.drain(..));
        for (detached, member) in mail.adopted.drain(..) {
            self.adopt(detached, member);
        }
    }

    /// Whether there is something to do without being told.
    pub(super) fn has_work(&self) -> bool {
        self.channels.has_work() || !self.woken.is_empty()
    }

    /// Does some of what there is to do.
    pub(super) fn work(&mut self) {
        self.serve_channels();
        for _ in 0..self.woken.len() {
            let Some(token) = self.woken.pop_front() else { break };
            self.serve_whole(token);
        }
    }

    /// Ends every stream, now or when it has all that there is.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.ending, true) {
            return;
        }
        self.channels.mark_all();
        for token in self.entries.tokens() {
            if let Some(Entry { source: Source::Whole(_), .. }) = self.entries.get_mut(token) {
                self.woken.push_back(token);
            }
        }
    }

    /// Looks at the clock.
    pub(super) fn look_at_clock(&mut self) {
        let ticks = self.started.elapsed().as_nanos() / self.wheel.tick().as_nanos();
        self.now = ticks.min(u128::from(NEVER)) as Tick;
    }

    /// How long nothing needs to be done; `None` is for ever.
    pub(super) fn idle_time(&self) -> Option<Duration> {
        let next = self.wheel.tick().checked_mul(self.now.saturating_add(1))?;
        (self.entries.len() > 0).then(|| next.saturating_sub(self.started.elapsed()))
    }

    fn adopt(&mut self, detached: Detached, member: Member) {
        let Detached { socket, unwritten, subscription, sent_at, ends_at, chunked, seat } = detached;
        let now = tokio::time::Instant::now();
        let entry = Entry {
            socket,
            phase: Phase::Open,
            source: Source::Gone,
            pending: None,
            blocked_at: None,
            sent_at: self.now.saturating_sub(self.ticks_of(now.saturating_duration_since(sent_at))),
            ends_at: ends_at
                .map_or(NEVER, |at| self.now.saturating_add(self.wheel.ticks(at.saturating_duration_since(now)))),
            armed_at: NEVER,
            input_bytes: 0,
            framing: if chunked { Framing::Chunk } else { Framing::Raw },
            _seat: seat,
            _member: member,
        };
        let token = self.entries.insert(entry);
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.source = Source::Whole(Whole::new(subscription, token, &self.inbox));
        // Everything at once, so that nothing has to be changed as long as it lives.
        let interest =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(token.as_u64());
        if let Err(error) = epoll::add(&*self.epoll, &entry.socket, data, interest) {
            tracing::error!(%error, "failed to watch a connection");
            self.remove(token);
            return;
        }
        let begins = unwritten.is_empty() || {
            let written = Pending::new(unwritten, Framing::Raw).write(&entry.socket);
            self.after(token, written)
        };
        if begins {
            self.serve_whole(token);
        }
        self.arm(token);
    }

    fn ticks_of(&self, time: Duration) -> Tick {
        (time.as_nanos() / self.wheel.tick().as_nanos()).min(u128::from(NEVER)) as Tick
    }

    /// Something happened to a socket.
    pub(super) fn on_event(&mut self, token: Token, flags: epoll::EventFlags) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
            self.remove(token);
            return;
        }
        let has_closed_side = flags.contains(epoll::EventFlags::RDHUP);
        match entry.phase {
            // It may have gone, or only have no more to ask: which of them can't be told. Its stream ends.
            Phase::Open if has_closed_side => self.end_at_once(token),
            // All later events say so too. To read would be to find the end; what is pending still goes out.
            Phase::Ending if has_closed_side => {}
            _ if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP) => self.read_and_drop(token),
            _ => {}
        }
        if flags.contains(epoll::EventFlags::OUT) && self.unblock(token) {
            self.serve(token);
        }
    }

    /// Goes on where a socket took nothing. Tells whether it has taken all that was to be written first.
    fn unblock(&mut self, token: Token) -> bool {
        let Some(entry) = self.entries.get_mut(token) else { return false };
        let Some(pending) = entry.pending.take() else { return entry.blocked_at.take().is_some() };
        entry.blocked_at = None;
        let written = pending.write(&entry.socket);
        self.after(token, written) && self.is_open(token)
    }

    fn is_open(&mut self, token: Token) -> bool {
        self.entries.get_mut(token).is_some_and(|entry| entry.phase == Phase::Open)
    }

    /// Gives a connection whatever there is for it.
    pub(super) fn serve(&mut self, token: Token) {
        match self.entries.get_mut(token).map(|entry| &entry.source) {
            Some(Source::Standing { key, .. }) => {
                let (key, mut look) = (*key, Look::default());
                if self.serve_standing(token, &mut look) == Served::More {
                    self.channels.mark(key);
                }
                look.count(&self.taps, key);
            }
            Some(Source::Whole(_)) => self.serve_whole(token),
            Some(Source::Gone) | None => {}
        }
    }

    /// Gives a reader at a tap what there is at its spot and behind it.
    pub(super) fn serve_standing(&mut self, token: Token, look: &mut Look) -> Served {
        for _ in 0..WRITES_MAX {
            let Some(entry) = self.entries.get_mut(token) else { return Served::Done };
            let Source::Standing { key, spot, .. } = &mut entry.source else { return Served::Done };
            if entry.blocked_at.is_some() {
                return Served::Done;
            }
            let (key, at) = (*key, *spot);
            match look.at(&self.taps, key, at, entry.framing) {
                Seen::Frames { bytes, framing, next } => {
                    let written = write(&entry.socket, bytes, framing);
                    if matches!(written, Written::All | Written::Part(_)) {
                        *spot = next;
                        look.given();
                    }
                    if matches!(written, Written::Failed(_)) {
                        look.count(&self.taps, key);
                    }
                    if !self.after(token, written) {
                        return Served::Done;
                    }
                }
                Seen::CaughtUp => {
                    if self.ending {
                        look.count(&self.taps, key);
                        self.end_stream(token, jitter(&self.options.end_retry));
                    }
                    return Served::Done;
                }
                Seen::Elsewhere => {
                    look.count(&self.taps, key);
                    self.lift(token, key, at);
                    return Served::Done;
                }
            }
        }
        Served::More
    }

    /// Takes note of what came of writing. Tells whether more can be written.
    pub(super) fn after(&mut self, token: Token, written: Written) -> bool {
        let Some(entry) = self.entries.get_mut(token) else { return false };
        match written {
            Written::All => {
                entry.sent_at = self.now;
                entry.blocked_at = None;
                if entry.phase == Phase::Ending {
                    self.shut_down(token);
                }
                return true;
            }
            Written::Nothing => {}
            Written::Part(pending) => {
                entry.sent_at = self.now;
                entry.pending = Some(Box::new(pending));
            }
            Written::Failed(error) => {
                tracing::debug!(%error, "connection failed");
                self.remove(token);
                return false;
            }
        }
        // The tick has begun before: without the one more it would be cut too early.
        entry.blocked_at = Some(self.now.saturating_add(1));
        self.arm(token);
        false
    }
}
