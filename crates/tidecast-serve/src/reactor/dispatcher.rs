//! Gives the streams of a reactor the events of their channels.
//!
//! Most streams are readers of a *reader group*: a cursor in the log of one channel, where one read serves all that are at
//! the same cursor. The others are *full streams*, with a subscription of their own. Only values and sockets are here, no
//! thread and no waiting: the caller holds the reactor's lock.

use std::{collections::VecDeque, os::fd::OwnedFd, sync::Arc, task::Poll, time::Duration};

use rustix::event::epoll;
use tidecast::{
    Batch,
    internals::{LogCursor, ReaderGroups},
    wire::KEEP_ALIVE,
};
use tidecast_axum::{
    StreamOptions,
    internals::{Deadline, EndCause},
};
use tokio::time::Instant;

use super::{
    chunk::{Framing, Sent},
    connections::{Connections, Flow},
    entry::{DetachedSource, StreamEntry, StreamPhase},
    full_stream::FullStream,
    read_cache::{CachedRead, ReadCache},
    rounds::Rounds,
    slab::Token,
    task_queue::{LiveGuard, Queued, TaskQueue},
    timers::Due,
    wheel::NEVER,
};
use crate::{counters::ConnectionCounters, detach::Detached, options::ServeOptions};

/// Most writes to one stream before another one has its turn.
const WRITES_MAX: usize = 8;

/// Most readers that are served before sockets, other threads and other groups have their turn.
const READERS_MAX: usize = 256;

/// The streams of a reactor.
pub(super) struct Dispatcher {
    connections: Connections,
    groups: ReaderGroups,
    rounds: Rounds,
    /// Full streams to be polled.
    woken: VecDeque<Token>,
    queue: Arc<TaskQueue>,
    options: StreamOptions,
    /// Whether every stream is to end once it has all its events.
    closing: bool,
    batch: Batch,
}

/// Whether a reader has more to read after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It has all, or waits for its socket.
    Done,
    More,
}

impl Dispatcher {
    pub(super) fn new(
        groups: ReaderGroups,
        epoll: Arc<OwnedFd>,
        queue: Arc<TaskQueue>,
        options: &ServeOptions,
        counters: Arc<ConnectionCounters>,
    ) -> Self {
        Self {
            connections: Connections::new(epoll, options, counters),
            groups,
            rounds: Rounds::default(),
            woken: VecDeque::new(),
            queue,
            options: options.streams.clone(),
            closing: false,
            batch: Batch::new(),
        }
    }

    /// Does what other threads asked for.
    pub(super) fn accept(&mut self, queued: &mut Queued) {
        for key in queued.groups.drain(..) {
            self.rounds.mark(key);
        }
        self.woken.extend(queued.woken.drain(..));
        for (detached, live) in queued.detached.drain(..) {
            self.add(detached, live);
        }
    }

    /// Returns whether there is work without further events.
    pub(super) fn has_work(&self) -> bool {
        !self.rounds.is_empty() || !self.woken.is_empty()
    }

    /// Does some of the work.
    pub(super) fn work(&mut self) {
        self.serve_rounds();
        for _ in 0..self.woken.len() {
            let Some(token) = self.woken.pop_front() else { break };
            self.serve_full(token);
        }
    }

    /// Returns how many readers a group has.
    pub(super) fn readers(&self, key: u32) -> usize {
        self.rounds.readers(key)
    }

    /// Serves the readers of a group that has few, while nothing else waits.
    pub(super) fn serve_now(&mut self, key: u32) {
        self.rounds.mark(key);
        self.serve_rounds();
    }

    /// Ends every stream once it has all its events.
    pub(super) fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        self.rounds.mark_all();
        for token in self.connections.tokens() {
            if let Some(StreamEntry { source: DetachedSource::Full(_), .. }) = self.connections.get_mut(token) {
                self.woken.push_back(token);
            }
        }
    }

    /// Reads the clock.
    pub(super) fn refresh_clock(&mut self) {
        self.connections.timers.refresh();
    }

    /// Does what is due by now.
    pub(super) fn keep_time(&mut self) {
        for (token, due) in self.connections.expire() {
            match due {
                Due::Nothing => {}
                Due::KeepAlive => {
                    let now = self.connections.timers.now();
                    let Some(entry) = self.connections.get_mut(token) else { continue };
                    let sent = entry.write(&KEEP_ALIVE, entry.framing, now);
                    self.settle(token, sent);
                }
                Due::End(cause) => self.end(token, cause),
                Due::Stalled | Due::EndOverdue => {
                    self.connections.cut(token, due);
                    self.remove(token);
                }
                Due::Close => self.remove(token),
            }
            self.connections.reschedule(token);
        }
    }

    /// Returns how long nothing is due; `None` is for ever.
    pub(super) fn idle_time(&self) -> Option<Duration> {
        self.connections.idle_time()
    }

    /// Handles an event of a socket.
    pub(super) fn on_event(&mut self, token: Token, flags: epoll::EventFlags) {
        let Some(entry) = self.connections.get_mut(token) else { return };
        if flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
            self.remove(token);
            return;
        }
        let has_closed_side = flags.contains(epoll::EventFlags::RDHUP);
        match entry.phase {
            // The client is gone, or has nothing more to send; nobody can tell which. Its stream ends.
            StreamPhase::Open if has_closed_side => self.end_now(token),
            // All later events repeat it. Reading would find the end, but pending bytes still go out.
            StreamPhase::Ending | StreamPhase::Expired { .. } if has_closed_side => {}
            _ if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP) => {
                let flow = self.connections.read_input(token);
                self.remove_if_gone(token, flow);
            }
            _ => {}
        }
        if flags.contains(epoll::EventFlags::OUT) {
            let flow = self.connections.resume(token);
            self.remove_if_gone(token, flow);
            if flow == Flow::Writable {
                self.serve(token);
            }
        }
    }

    fn add(&mut self, detached: Detached, live: LiveGuard) {
        let Detached { socket, unwritten, subscription, sent_at, deadline, chunked, guard } = detached;
        let (timers, now) = (&self.connections.timers, Instant::now());
        let ends_at = |deadline: Deadline| timers.after(deadline.at.saturating_duration_since(now));
        let added = self.connections.insert(StreamEntry {
            socket,
            phase: StreamPhase::Open,
            source: DetachedSource::Closed,
            pending: None,
            blocked_at: None,
            sent_at: timers.ago(now.saturating_duration_since(sent_at)),
            deadline: deadline.map_or((NEVER, EndCause::Lifetime), |deadline| (ends_at(deadline), deadline.cause)),
            scheduled_at: NEVER,
            input_bytes: 0,
            framing: if chunked { Framing::Chunk } else { Framing::Raw },
            _guard: guard,
            _live: live,
        });
        let Some(token) = added else { return };
        let now = self.connections.timers.now();
        let Some(entry) = self.connections.get_mut(token) else { return };
        entry.source = DetachedSource::Full(FullStream::new(subscription, token, &self.queue));
        let sent = if unwritten.is_empty() { Sent::All } else { entry.write_or_keep(unwritten, Framing::Raw, now) };
        if self.settle(token, sent) == Flow::Writable {
            self.serve_full(token);
        }
    }

    /// Takes note of the result of a write, and removes a connection that is of no more use.
    fn settle(&mut self, token: Token, sent: Sent) -> Flow {
        let flow = self.connections.settle(token, sent);
        self.remove_if_gone(token, flow);
        flow
    }

    /// Gives a stream its next events.
    fn serve(&mut self, token: Token) {
        match self.connections.get_mut(token).map(|entry| &entry.source) {
            Some(DetachedSource::Group { key, .. }) => {
                let (key, mut cache) = (*key, ReadCache::default());
                if self.serve_reader(token, &mut cache) == Turn::More {
                    self.rounds.mark(key);
                }
                cache.flush_counts(&self.groups, key);
            }
            Some(DetachedSource::Full(_)) => self.serve_full(token),
            Some(DetachedSource::Closed) | None => {}
        }
    }

    /// Serves readers of the groups with new events, each group in its turn.
    fn serve_rounds(&mut self) {
        let mut budget = READERS_MAX;
        while budget > 0 {
            let Some(key) = self.rounds.pop() else { break };
            self.serve_round(key, &mut budget);
        }
    }

    /// Continues a group's round, and queues it again if it has not ended within the budget.
    fn serve_round(&mut self, key: u32, budget: &mut usize) {
        let mut cache = ReadCache::default();
        let mut unfinished = false;
        let ended = loop {
            let Some(token) = self.rounds.next(key) else { break true };
            unfinished |= self.serve_reader(token, &mut cache) == Turn::More;
            *budget -= 1;
            if *budget == 0 {
                break false;
            }
        };
        cache.flush_counts(&self.groups, key);
        if ended {
            self.rounds.finish(key);
        } else {
            self.rounds.requeue(key);
        }
        if unfinished {
            self.rounds.mark(key);
        }
    }

    /// Gives a reader of a group what follows its cursor.
    fn serve_reader(&mut self, token: Token, cache: &mut ReadCache) -> Turn {
        let now = self.connections.timers.now();
        for _ in 0..WRITES_MAX {
            let Some(entry) = self.connections.get_mut(token) else { return Turn::Done };
            let DetachedSource::Group { key, cursor, .. } = entry.source else { return Turn::Done };
            if entry.blocked_at.is_some() {
                return Turn::Done;
            }
            match cache.read(&self.groups, key, cursor, entry.framing) {
                CachedRead::Frames { bytes, framing, next } => {
                    let sent = entry.write(bytes, framing, now);
                    if let (Sent::All | Sent::Part, DetachedSource::Group { cursor, .. }) = (sent, &mut entry.source) {
                        *cursor = next;
                        cache.count_use();
                    }
                    if sent == Sent::All {
                        continue;
                    }
                    if matches!(sent, Sent::Failed(_)) {
                        cache.flush_counts(&self.groups, key);
                    }
                    if self.settle(token, sent) != Flow::Writable {
                        return Turn::Done;
                    }
                }
                CachedRead::CaughtUp => {
                    if self.closing {
                        cache.flush_counts(&self.groups, key);
                        self.end(token, EndCause::SourceEnded);
                    }
                    return Turn::Done;
                }
                CachedRead::Lost => {
                    cache.flush_counts(&self.groups, key);
                    self.leave_group(token, key, cursor);
                    return Turn::Done;
                }
            }
        }
        Turn::More
    }

    /// Gives a full stream its next events. A stream that has all, and may join a reader group, does so.
    fn serve_full(&mut self, token: Token) {
        let now = self.connections.timers.now();
        let mut batch = std::mem::take(&mut self.batch);
        for turn in 0..=WRITES_MAX {
            let Some(entry) = self.connections.get_mut(token) else { break };
            if entry.blocked_at.is_some() {
                break;
            }
            let DetachedSource::Full(full) = &mut entry.source else { break };
            if turn == WRITES_MAX {
                self.woken.push_back(token);
                break;
            }
            match full.poll_batch(&mut batch) {
                Poll::Ready(Some(())) => {
                    let sent = entry.write_or_keep(batch.take_bytes(), entry.framing, now);
                    if self.settle(token, sent) != Flow::Writable {
                        break;
                    }
                }
                Poll::Ready(None) => {
                    self.end(token, EndCause::SourceEnded);
                    break;
                }
                Poll::Pending => {
                    self.join_group(token);
                    break;
                }
            }
        }
        batch.release();
        self.batch = batch;
    }

    /// Makes a full stream a reader of its channel's group, if it can be one.
    fn join_group(&mut self, token: Token) {
        let Some(entry) = self.connections.get_mut(token) else { return };
        match std::mem::replace(&mut entry.source, DetachedSource::Closed) {
            DetachedSource::Full(full) if full.has_one_channel() => match full.attach(&mut self.groups) {
                Ok((key, cursor)) => {
                    let index = self.rounds.join(key, token);
                    entry.source = DetachedSource::Group { key, index, cursor };
                    // Nobody was told of events that were published before it joined.
                    self.serve(token);
                }
                Err(full) => entry.source = DetachedSource::Full(full),
            },
            source => entry.source = source,
        }
    }

    /// Makes a reader of a group a full stream again. The reactor's own thread polls it, because its broker may need a
    /// runtime.
    fn leave_group(&mut self, token: Token, key: u32, cursor: LogCursor) {
        let subscription = self.groups.into_subscription(key, cursor);
        self.leave_round(token);
        match (subscription, self.connections.get_mut(token)) {
            (Some(subscription), Some(entry)) => {
                entry.source = DetachedSource::Full(FullStream::new(subscription, token, &self.queue));
                self.woken.push_back(token);
            }
            _ => self.remove(token),
        }
    }

    /// Ends a stream between two events.
    fn end(&mut self, token: Token, cause: EndCause) {
        self.close_source(token);
        let flow = self.connections.end(token, cause, &cause.last_block(&self.options));
        self.remove_if_gone(token, flow);
    }

    /// Ends the stream of a client that has closed its side and may be gone. Bytes that wait for its socket still go out,
    /// and nothing behind them.
    fn end_now(&mut self, token: Token) {
        self.close_source(token);
        let has_pending = self.connections.get_mut(token).is_some_and(StreamEntry::end_behind_pending);
        if !has_pending {
            self.remove(token);
        }
    }

    fn remove_if_gone(&mut self, token: Token, flow: Flow) {
        if flow == Flow::Gone {
            self.remove(token);
        }
    }

    fn remove(&mut self, token: Token) {
        self.close_source(token);
        self.connections.remove(token);
    }

    fn close_source(&mut self, token: Token) {
        if let Some(key) = self.leave_round(token) {
            self.groups.leave(key);
        }
        if let Some(entry) = self.connections.get_mut(token) {
            entry.source = DetachedSource::Closed;
        }
    }

    /// Takes a reader out of the list of its group. Returns the key of the group.
    fn leave_round(&mut self, token: Token) -> Option<u32> {
        let entry = self.connections.get_mut(token)?;
        let DetachedSource::Group { key, index, .. } = entry.source else { return None };
        entry.source = DetachedSource::Closed;
        if let Some(moved) = self.rounds.leave(key, index)
            && let Some(StreamEntry { source: DetachedSource::Group { index: place, .. }, .. }) =
                self.connections.get_mut(moved)
        {
            *place = index;
        }
        Some(key)
    }
}
