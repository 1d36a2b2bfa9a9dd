//! The clock of a reactor, and when each stream is next looked at.

use std::time::{Duration, Instant};

use tidecast_axum::internals::EndCause;

use super::{
    entry::{StreamEntry, StreamPhase},
    slab::Token,
    wheel::{NEVER, Tick, Wheel},
};
use crate::{
    limits::{CLOSE_TIMEOUT, EXPIRED_STALL_TIMEOUT},
    options::ServeOptions,
};

/// The clock, in ticks of a timer wheel, and the time limits.
#[derive(Debug)]
pub(super) struct Timers {
    wheel: Wheel,
    started: Instant,
    /// The tick of the last look at the clock. While the thread sleeps, it is late by less than one tick.
    now: Tick,
    /// [`NEVER`] if no comments are sent.
    keep_alive: Tick,
    stall: Tick,
    /// The stall timeout of expired streams.
    expired_stall: Tick,
    close: Tick,
}

/// The action that is due for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// A keep-alive comment.
    KeepAlive,
    /// The end of the stream, whose deadline has passed.
    End(EndCause),
    /// The client took nothing for the stall timeout; after the deadline of its stream, for [`EXPIRED_STALL_TIMEOUT`].
    Stalled,
    /// The end of the stream has taken longer than the stall timeout.
    EndOverdue,
    /// The client did not close its side in time.
    Close,
}

impl Timers {
    pub(super) fn new(options: &ServeOptions) -> Self {
        let streams = &options.streams;
        let wheel = Wheel::for_shortest_of([streams.keep_alive, options.stall_timeout, streams.lifetime]);
        Self {
            keep_alive: if streams.keep_alive.is_zero() { NEVER } else { wheel.ticks(streams.keep_alive) },
            stall: wheel.ticks(options.stall_timeout),
            expired_stall: wheel.ticks(options.stall_timeout.min(EXPIRED_STALL_TIMEOUT)),
            close: wheel.ticks(options.stop_timeout.min(CLOSE_TIMEOUT)),
            wheel,
            started: Instant::now(),
            now: 0,
        }
    }

    /// Reads the clock.
    pub(super) fn refresh(&mut self) {
        self.now = self.floor(self.started.elapsed());
    }

    pub(super) fn now(&self) -> Tick {
        self.now
    }

    /// Returns how long the thread may sleep.
    pub(super) fn until_next_tick(&self) -> Option<Duration> {
        let next = self.wheel.tick().checked_mul(self.now.saturating_add(1))?;
        Some(next.saturating_sub(self.started.elapsed()))
    }

    /// Returns the tick of a time in the past.
    pub(super) fn ago(&self, time: Duration) -> Tick {
        self.now.saturating_sub(self.floor(time))
    }

    /// Returns a tick that is not before a time in the future.
    pub(super) fn after(&self, time: Duration) -> Tick {
        self.now.saturating_add(self.wheel.ticks(time))
    }

    /// Returns until when a client has to close its side.
    pub(super) fn close_by(&self) -> Tick {
        self.now.saturating_add(self.close)
    }

    /// Begins to watch the client of a stream that ended because of its deadline.
    pub(super) fn expire_stream(&self, entry: &mut StreamEntry) {
        entry.deadline.0 = self.now.saturating_add(self.stall);
        entry.takes_bytes(self.now.saturating_add(self.expired_stall));
    }

    /// Ensures that a stream is looked at no later than at its next deadline.
    pub(super) fn schedule(&mut self, token: Token, entry: &mut StreamEntry) {
        let stalls_at = entry.blocked_at.map_or(NEVER, |since| since.saturating_add(self.stall));
        let at = match entry.phase {
            StreamPhase::Open if entry.blocked_at.is_some() => stalls_at.min(entry.deadline.0),
            StreamPhase::Open => self.comment_at(entry).min(entry.deadline.0),
            StreamPhase::Ending => stalls_at,
            StreamPhase::Expired { check_at, .. } => check_at.min(entry.deadline.0),
            StreamPhase::Closing(until) => until,
        };
        if at < entry.scheduled_at {
            entry.scheduled_at = self.wheel.put(token, at);
        }
    }

    /// Takes out the tokens that were scheduled by now, with the tick that each was scheduled for.
    pub(super) fn expire(&mut self, due: &mut Vec<(Tick, Token)>) {
        self.wheel.turn(self.now, due);
    }

    /// Returns what is to be done for a stream by now.
    pub(super) fn due(&self, entry: &mut StreamEntry) -> Due {
        let stalled = entry.blocked_at.is_some_and(|since| self.now >= since.saturating_add(self.stall));
        match entry.phase {
            StreamPhase::Closing(until) if self.now >= until => Due::Close,
            StreamPhase::Open | StreamPhase::Ending if stalled => Due::Stalled,
            StreamPhase::Expired { check_at, .. } => {
                // The kernel goes on sending to a client that is overdue, but not to one that takes nothing.
                if self.now >= check_at && !entry.takes_bytes(self.now.saturating_add(self.expired_stall)) {
                    Due::Stalled
                } else if self.now >= entry.deadline.0 {
                    Due::EndOverdue
                } else {
                    Due::Nothing
                }
            }
            StreamPhase::Open if self.now >= entry.deadline.0 => Due::End(entry.deadline.1),
            StreamPhase::Open if entry.blocked_at.is_none() && self.now >= self.comment_at(entry) => Due::KeepAlive,
            _ => Due::Nothing,
        }
    }

    fn comment_at(&self, entry: &StreamEntry) -> Tick {
        if self.keep_alive == NEVER { NEVER } else { entry.sent_at.saturating_add(self.keep_alive) }
    }

    fn floor(&self, time: Duration) -> Tick {
        (time.as_nanos() / self.wheel.tick().as_nanos()).min(u128::from(NEVER)) as Tick
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixStream};

    use bytes::Bytes;

    use super::{
        super::{
            chunk::{Framing, Sent},
            entry::tests::stream_entry,
        },
        *,
    };

    /// Creates a stream with more bytes than its socket takes, whose lifetime is over, and the client's socket.
    fn expired(stall_timeout: Duration) -> (Timers, StreamEntry, UnixStream) {
        let timers = Timers::new(&ServeOptions { stall_timeout, ..ServeOptions::default() });
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut entry = stream_entry(ours);
        assert_eq!(entry.write(&Bytes::from(vec![b'x'; 8 << 20]), Framing::Chunk, 0), Sent::Part);
        entry.deadline.0 = 0;
        assert_eq!(timers.due(&mut entry), Due::End(EndCause::Lifetime), "it ends although its client takes nothing");
        entry.end(&Bytes::from_static(b"retry: 1\n\n"), 0);
        timers.expire_stream(&mut entry);
        (timers, entry, theirs)
    }

    /// A client that had acknowledged nothing for 2 s was cut, but one that reads 8 KB/s may acknowledge nothing for 16 s.
    #[test]
    fn the_client_of_an_expired_stream_is_cut_once_it_takes_nothing() {
        let (mut timers, mut entry, mut theirs) = expired(Duration::from_secs(60));
        timers.now = timers.after(Duration::from_secs(16));
        assert_eq!(timers.due(&mut entry), Due::Nothing);
        theirs.read_exact(&mut [0; 64 * 1024]).unwrap();
        timers.now = timers.expired_stall;
        assert_eq!(timers.due(&mut entry), Due::Nothing);
        timers.now = 2 * timers.expired_stall - 1;
        assert_eq!(timers.due(&mut entry), Due::Nothing);
        timers.now += 1;
        assert_eq!(timers.due(&mut entry), Due::Stalled);
    }

    #[test]
    fn the_end_of_an_expired_stream_takes_at_most_the_stall_timeout() {
        for (bytes, due) in [(64 * 1024, Due::EndOverdue), (0, Due::Stalled)] {
            let (mut timers, mut entry, mut theirs) = expired(Duration::from_secs(3));
            timers.now = timers.stall - 1;
            assert_eq!(timers.due(&mut entry), Due::Nothing);
            theirs.read_exact(&mut vec![0; bytes]).unwrap();
            timers.now += 1;
            assert_eq!(timers.due(&mut entry), due, "{bytes}");
        }
    }
}
