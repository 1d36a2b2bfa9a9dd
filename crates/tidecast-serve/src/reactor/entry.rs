//! A detached stream: its socket, the bytes that wait for it, and where its events come from.
//!
//! Comments, last blocks and last chunks are written between two frames: only while no bytes wait for the socket, or behind
//! them.

use bytes::Bytes;
use tidecast::internals::LogCursor;
use tidecast_axum::internals::EndCause;

use super::{
    chunk::{Framing, LAST_CHUNK, PendingWrite, WriteOutcome, framed, write},
    full_stream::FullStream,
    task_queue::LiveGuard,
    wheel::{NEVER, Tick},
};
use crate::{detach::ConnectionGuard, listener::socket::RawSocket};

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
    /// When the stream ends whatever happens, and why; [`NEVER`] if it has no deadline.
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
    /// It has ended, and its last bytes are to be written by then.
    Ending(Tick),
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

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// The rest waits for the socket.
    Part,
    /// The socket takes nothing, and the bytes were not kept.
    Nothing,
    /// The connection is broken.
    Failed,
}

impl StreamEntry {
    /// Creates the entry of a stream that is open and has no source yet.
    pub(super) fn new(
        socket: RawSocket,
        framing: Framing,
        sent_at: Tick,
        deadline: (Tick, EndCause),
        guard: ConnectionGuard,
        live: LiveGuard,
    ) -> Self {
        Self {
            socket,
            phase: StreamPhase::Open,
            source: DetachedSource::Closed,
            pending: None,
            blocked_at: None,
            sent_at,
            deadline,
            scheduled_at: NEVER,
            input_bytes: 0,
            framing,
            _guard: guard,
            _live: live,
        }
    }

    /// Writes bytes, which nothing may wait before.
    pub(super) fn write(&mut self, bytes: &Bytes, framing: Framing, now: Tick) -> Sent {
        let written = write(&self.socket, bytes, framing);
        self.record(written, now)
    }

    /// Writes bytes, or keeps them until the socket takes them.
    pub(super) fn write_or_keep(&mut self, bytes: Bytes, framing: Framing, now: Tick) -> Sent {
        match self.write(&bytes, framing, now) {
            Sent::Nothing => {
                self.pending = Some(Box::new(PendingWrite::new(bytes, framing)));
                Sent::Part
            }
            sent => sent,
        }
    }

    /// Writes the bytes that waited for the socket.
    pub(super) fn resume(&mut self, now: Tick) -> Sent {
        self.blocked_at = None;
        match self.pending.take() {
            Some(pending) => {
                let written = pending.write(&self.socket);
                self.record(written, now)
            }
            None => Sent::All,
        }
    }

    /// Ends the stream behind a last block, which is to be written by `until`.
    pub(super) fn end(&mut self, block: &Bytes, until: Tick, now: Tick) -> Sent {
        self.phase = StreamPhase::Ending(until);
        let last = match self.framing {
            Framing::Chunk => [&framed(block), LAST_CHUNK].concat().into(),
            Framing::Raw => block.clone(),
        };
        if self.blocked_at.is_none() {
            return self.write_or_keep(last, Framing::Raw, now);
        }
        match &mut self.pending {
            Some(pending) => pending.push(&last),
            None => self.pending = Some(Box::new(PendingWrite::new(last, Framing::Raw))),
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
                self.phase = StreamPhase::Ending(NEVER);
                true
            }
            None => {
                if ends_body {
                    // A failure makes no difference: the connection is closed next.
                    write(&self.socket, &Bytes::from_static(LAST_CHUNK), Framing::Raw);
                }
                false
            }
        }
    }

    fn record(&mut self, written: WriteOutcome, now: Tick) -> Sent {
        let sent = match written {
            WriteOutcome::All => {
                self.sent_at = now;
                self.blocked_at = None;
                return Sent::All;
            }
            WriteOutcome::Nothing => Sent::Nothing,
            WriteOutcome::Part(pending) => {
                self.sent_at = now;
                self.pending = Some(Box::new(pending));
                Sent::Part
            }
            WriteOutcome::Failed(error) => {
                tracing::debug!(%error, "connection failed");
                return Sent::Failed;
            }
        };
        // The current tick began earlier; without one more, the client would be cut too early.
        self.blocked_at = Some(now.saturating_add(1));
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        os::{fd::OwnedFd, unix::net::UnixStream},
        sync::Arc,
    };

    use super::*;
    use crate::{listener::connection_limit::ConnectionLimit, options::ServeOptions, reactor::task_queue::LiveCount};

    /// A stream hardly costs anything else.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<StreamEntry>() <= 144, "{}", size_of::<StreamEntry>());
    }

    #[test]
    fn a_blocked_stream_ends_behind_the_bytes_that_wait_for_its_socket() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let permit = ConnectionLimit::new(&ServeOptions::default(), Arc::default()).try_acquire();
        let mut entry = StreamEntry::new(
            OwnedFd::from(ours).into(),
            Framing::Chunk,
            0,
            (NEVER, EndCause::Lifetime),
            ConnectionGuard { _permit: permit, _attached: None },
            LiveCount::new(Arc::default()).add(),
        );
        let (frames, last) = (Bytes::from(vec![b'x'; 8 << 20]), Bytes::from_static(b"retry: 1\n\n"));
        assert_eq!(entry.write(&frames, Framing::Chunk, 1), Sent::Part);
        assert_eq!(entry.end(&last, 9, 2), Sent::Part);
        assert_eq!(
            (entry.phase, entry.blocked_at),
            (StreamPhase::Ending(9), Some(2)),
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
