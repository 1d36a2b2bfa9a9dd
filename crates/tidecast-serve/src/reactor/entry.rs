//! A detached stream: its socket, the bytes that wait for it, and where its events come from.
//!
//! Comments, last blocks and last chunks are written between two frames: only while no bytes wait for the socket, or behind
//! them.

use bytes::Bytes;
use tidecast::internals::LogCursor;
use tidecast_axum::internals::EndCause;

use super::{
    chunk::{Framing, LAST_CHUNK, PendingWrite, Sent, framed, resume, write},
    full_stream::FullStream,
    task_queue::LiveGuard,
    wheel::Tick,
};
use crate::{
    detach::ConnectionGuard,
    listener::socket::{RawSocket, unacknowledged},
};

/// A detached stream. There are many, so what only some need at a time is boxed.
#[derive(Debug)]
pub(super) struct StreamEntry {
    pub(super) socket: RawSocket,
    pub(super) phase: StreamPhase,
    pub(super) source: DetachedSource,
    /// Bytes to be written before any others.
    pub(super) pending: Option<Box<PendingWrite>>,
    /// Since when the socket takes nothing. Until it does, nothing is written.
    pub(super) blocked_at: Option<Tick>,
    pub(super) sent_at: Tick,
    /// When the stream ends whatever happens, and why; [`NEVER`](super::wheel::NEVER) if it has no deadline. Of an expired
    /// stream, when its connection is closed.
    pub(super) deadline: (Tick, EndCause),
    /// When the stream is next looked at.
    pub(super) scheduled_at: Tick,
    /// How many bytes the client has sent, which were dropped.
    pub(super) input_bytes: u32,
    /// Whether what is written is a chunk.
    pub(super) framing: Framing,
    pub(super) _guard: ConnectionGuard,
    pub(super) _live: LiveGuard,
}

/// The stage of a detached stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamPhase {
    /// It goes on.
    Open,
    /// It has ended, and its last bytes are to be written.
    Ending,
    /// It has ended because of its deadline, and its last bytes are to be written. At the last look, `unsent` bytes were
    /// not acknowledged; its client has to take some of them by `check_at`.
    Expired { check_at: Tick, unsent: u32 },
    /// All is written, and the client is to close its side by then.
    Closing(Tick),
}

/// Where the events of a stream come from.
#[derive(Debug)]
pub(super) enum DetachedSource {
    /// A reader group, and the index of the stream in its list of readers.
    Group { key: u32, index: u32, cursor: LogCursor },
    /// A subscription of its own: several channels, a reset to be told, or a page of history.
    Full(Box<FullStream>),
    /// Nowhere: the stream has ended.
    Closed,
}

impl StreamEntry {
    /// Writes bytes, which nothing may wait before.
    pub(super) fn write(&mut self, bytes: &Bytes, framing: Framing, now: Tick) -> Sent {
        let sent = write(&self.socket, bytes, framing, &mut self.pending);
        self.record(sent, now)
    }

    /// Writes bytes, or keeps them until the socket takes them.
    pub(super) fn write_or_keep(&mut self, bytes: Bytes, framing: Framing, now: Tick) -> Sent {
        match self.write(&bytes, framing, now) {
            Sent::Nothing => {
                self.pending = Some(PendingWrite::new(bytes, framing));
                Sent::Part
            }
            sent => sent,
        }
    }

    /// Writes the bytes that waited for the socket, which has room now.
    pub(super) fn resume(&mut self, now: Tick) -> Sent {
        if self.pending.is_none() {
            self.blocked_at = None;
            return Sent::All;
        }
        let sent = resume(&self.socket, &mut self.pending);
        self.record(sent, now)
    }

    /// Ends the stream behind a last block.
    pub(super) fn end(&mut self, block: &Bytes, now: Tick) -> Sent {
        self.phase = StreamPhase::Ending;
        let last = match self.framing {
            Framing::Chunk => [&framed(block), LAST_CHUNK].concat().into(),
            Framing::Raw => block.clone(),
        };
        if self.blocked_at.is_none() {
            return self.write_or_keep(last, Framing::Raw, now);
        }
        match &mut self.pending {
            Some(pending) => pending.push(&last),
            None => self.pending = Some(PendingWrite::new(last, Framing::Raw)),
        }
        Sent::Part
    }

    /// Ends the stream behind the bytes that wait for the socket. Returns whether there are any.
    pub(super) fn end_behind_pending(&mut self) -> bool {
        let ends_body = self.framing == Framing::Chunk && self.phase == StreamPhase::Open;
        match &mut self.pending {
            Some(pending) => {
                if ends_body {
                    pending.push(LAST_CHUNK);
                }
                self.phase = StreamPhase::Ending;
                true
            }
            None => {
                if ends_body {
                    // A failure makes no difference: the connection is closed next.
                    write(&self.socket, &Bytes::from_static(LAST_CHUNK), Framing::Raw, &mut self.pending);
                }
                false
            }
        }
    }

    /// Returns whether the client of an expired stream has taken bytes since the last look. The next look is at `check_at`.
    pub(super) fn takes_bytes(&mut self, check_at: Tick) -> bool {
        let before = match self.phase {
            StreamPhase::Expired { unsent, .. } => unsent,
            _ => u32::MAX,
        };
        let unsent =
            self.pending.as_ref().map_or(0, |pending| pending.remaining() as u64) + unacknowledged(&self.socket);
        let unsent = u32::try_from(unsent).unwrap_or(u32::MAX);
        self.phase = StreamPhase::Expired { check_at, unsent };
        unsent < before
    }

    fn record(&mut self, sent: Sent, now: Tick) -> Sent {
        // The current tick began earlier; without one more, the client would be cut too early.
        let blocked_at = now.saturating_add(1);
        match sent {
            Sent::All => (self.sent_at, self.blocked_at) = (now, None),
            Sent::Part => (self.sent_at, self.blocked_at) = (now, Some(blocked_at)),
            Sent::Nothing => self.blocked_at = self.blocked_at.or(Some(blocked_at)),
            Sent::Failed(error) => tracing::debug!(%error, "connection failed"),
        }
        sent
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        io::Read,
        os::{fd::OwnedFd, unix::net::UnixStream},
        sync::Arc,
    };

    use super::super::wheel::NEVER;
    use super::*;
    use crate::{listener::connection_limit::ConnectionLimit, options::ServeOptions, reactor::task_queue::LiveCount};

    /// A stream hardly costs anything else.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<StreamEntry>() <= 144, "{}", size_of::<StreamEntry>());
    }

    pub(in super::super) fn stream_entry(socket: UnixStream) -> StreamEntry {
        let permit = ConnectionLimit::new(&ServeOptions::default(), Arc::default()).try_acquire();
        StreamEntry {
            socket: OwnedFd::from(socket).into(),
            phase: StreamPhase::Open,
            source: DetachedSource::Closed,
            pending: None,
            blocked_at: None,
            sent_at: 0,
            deadline: (NEVER, EndCause::Lifetime),
            scheduled_at: NEVER,
            input_bytes: 0,
            framing: Framing::Chunk,
            _guard: ConnectionGuard { _permit: permit, _attached: None },
            _live: LiveCount::new(Arc::default()).add(),
        }
    }

    #[test]
    fn a_blocked_stream_ends_behind_the_bytes_that_wait_for_its_socket() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut entry = stream_entry(ours);
        let (frames, last) = (Bytes::from(vec![b'x'; 8 << 20]), Bytes::from_static(b"retry: 1\n\n"));
        assert_eq!(entry.write(&frames, Framing::Chunk, 1), Sent::Part);
        assert_eq!(entry.end(&last, 2), Sent::Part);
        assert_eq!(
            (entry.phase, entry.blocked_at),
            (StreamPhase::Ending, Some(2)),
            "a client that takes nothing is stalled"
        );
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).unwrap();
            read
        });
        while entry.resume(3) != Sent::All {}
        drop(entry);
        assert!(reading.join().unwrap() == [&framed(&frames), &framed(&last), LAST_CHUNK].concat());
    }
}
