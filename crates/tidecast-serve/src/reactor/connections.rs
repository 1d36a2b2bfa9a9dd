//! The connections of a reactor: their sockets, the bytes that wait for them, and their deadlines.
//!
//! Nothing here knows where events come from. An operation that leaves a connection of no use says so by [`Flow::Gone`];
//! the [dispatcher](super::dispatcher) then takes its stream out of its group and removes it.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustix::event::epoll;
use tidecast_axum::internals::EndCause;

use super::{
    chunk::Sent,
    entry::{StreamEntry, StreamPhase},
    slab::{Slab, Token},
    timers::{Due, Timers},
    wheel::NEVER,
};
use crate::{
    counters::{ConnectionCounters, count},
    limits::STREAM_INPUT_BYTES_MAX,
    listener::socket::discard_on_close,
    options::ServeOptions,
};

/// The connections of a reactor.
pub(super) struct Connections {
    entries: Slab<StreamEntry>,
    pub(super) timers: Timers,
    epoll: Arc<OwnedFd>,
    counters: Arc<ConnectionCounters>,
    scratch: Box<[u8]>,
}

/// The state of a connection after an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// More can be written.
    Writable,
    /// It waits for its socket or its client.
    Waiting,
    /// It is to be removed.
    Gone,
}

impl Connections {
    pub(super) fn new(epoll: Arc<OwnedFd>, options: &ServeOptions, counters: Arc<ConnectionCounters>) -> Self {
        Self { entries: Slab::new(), timers: Timers::new(options), epoll, counters, scratch: vec![0; 16 * 1024].into() }
    }

    /// Adds a connection and watches its socket. Returns `None`, and closes the connection, if it can't be watched.
    pub(super) fn insert(&mut self, entry: StreamEntry) -> Option<Token> {
        let token = self.entries.insert(entry);
        let entry = self.entries.get_mut(token)?;
        // Everything at once, so that nothing has to be changed later.
        let interest =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(token.as_u64());
        if let Err(error) = epoll::add(&*self.epoll, &entry.socket, data, interest) {
            tracing::error!(%error, "failed to watch a connection");
            self.entries.remove(token);
            return None;
        }
        self.timers.schedule(token, entry);
        Some(token)
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut StreamEntry> {
        self.entries.get_mut(token)
    }

    pub(super) fn remove(&mut self, token: Token) {
        self.entries.remove(token);
    }

    /// Returns the tokens of all connections.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.entries.tokens()
    }

    /// Returns how long nothing is due; `None` is for ever.
    pub(super) fn idle_time(&self) -> Option<Duration> {
        if self.entries.len() == 0 { None } else { self.timers.until_next_tick() }
    }

    /// Takes note of the result of a write.
    pub(super) fn settle(&mut self, token: Token, sent: Sent) -> Flow {
        let Some(entry) = self.entries.get_mut(token) else { return Flow::Gone };
        match sent {
            Sent::All if entry.phase == StreamPhase::Open => Flow::Writable,
            Sent::All => self.shut_down(token),
            Sent::Part | Sent::Nothing => {
                self.timers.schedule(token, entry);
                Flow::Waiting
            }
            Sent::Failed(_) => Flow::Gone,
        }
    }

    /// Writes the bytes that waited for the socket, which has room now.
    pub(super) fn resume(&mut self, token: Token) -> Flow {
        let now = self.timers.now();
        let Some(entry) = self.entries.get_mut(token) else { return Flow::Gone };
        if entry.blocked_at.is_none() {
            return Flow::Waiting;
        }
        let sent = entry.resume(now);
        self.settle(token, sent)
    }

    /// Reads and drops what a client sends: unread, it would make the kernel reset the connection at its end.
    pub(super) fn read_input(&mut self, token: Token) -> Flow {
        let Some(entry) = self.entries.get_mut(token) else { return Flow::Gone };
        loop {
            match entry.socket.read(&mut self.scratch) {
                Ok(0) => return Flow::Gone,
                Ok(read) => entry.input_bytes = entry.input_bytes.saturating_add(read as u32),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flow::Waiting,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flow::Gone,
            }
            if entry.input_bytes as usize > STREAM_INPUT_BYTES_MAX {
                count(&self.counters.closed_input);
                return Flow::Gone;
            }
        }
    }

    /// Ends a stream behind a last block.
    pub(super) fn end(&mut self, token: Token, cause: EndCause, block: &Bytes) -> Flow {
        let now = self.timers.now();
        let Some(entry) = self.entries.get_mut(token) else { return Flow::Gone };
        let sent = entry.end(block, now);
        match cause {
            EndCause::Lifetime => self.timers.expire_stream(entry),
            EndCause::SourceEnded => {}
        }
        self.settle(token, sent)
    }

    /// Returns the connections for which something is due, with what it is. Each is to be
    /// [rescheduled](Self::reschedule) after that.
    pub(super) fn expire(&mut self) -> Vec<(Token, Due)> {
        let mut scheduled = Vec::new();
        self.timers.expire(&mut scheduled);
        // A connection that was scheduled anew, for another tick, is looked at then.
        let due = scheduled.into_iter().filter_map(|(at, token)| {
            let entry = self.entries.get_mut(token).filter(|entry| entry.scheduled_at == at)?;
            Some((token, self.timers.due(entry)))
        });
        due.collect()
    }

    /// Schedules the next look at a connection.
    pub(super) fn reschedule(&mut self, token: Token) {
        if let Some(entry) = self.entries.get_mut(token) {
            entry.scheduled_at = NEVER;
            self.timers.schedule(token, entry);
        }
    }

    /// Counts a client that takes too little, and is removed next. If it takes nothing, the kernel discards what it has
    /// still to send.
    pub(super) fn cut(&mut self, token: Token, due: Due) {
        count(&self.counters.stalled);
        if due == Due::Stalled
            && let Some(entry) = self.entries.get_mut(token)
        {
            discard_on_close(&entry.socket);
        }
    }

    /// Closes our side, and waits for the client to close its own. If the socket were closed with unread input, the kernel
    /// would discard what is still on its way to the client.
    fn shut_down(&mut self, token: Token) -> Flow {
        let Some(entry) = self.entries.get_mut(token) else { return Flow::Gone };
        if entry.socket.shutdown_write().is_err() {
            return Flow::Gone;
        }
        entry.phase = StreamPhase::Closing(self.timers.close_by());
        self.timers.schedule(token, entry);
        self.read_input(token)
    }
}
