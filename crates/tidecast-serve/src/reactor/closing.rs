//! How connections end: the last block between two frames, our side closed, and the client's waited for; or at once.

use std::{io::Read, time::Duration};

use bytes::Bytes;
use tidecast::wire::final_block;

use super::{
    chunk::{Framing, LAST_CHUNK, Pending},
    connections::Connections,
    entry::{Entry, Phase, Source},
    slab::Token,
};
use crate::{limits::STREAM_INPUT_BYTES_MAX, observe::metrics::Closed};

impl Connections {
    /// Ends a stream at the end of its lifetime. Each has its own, so they need not be kept from coming back together.
    pub(super) fn end_lifetime(&mut self, token: Token) {
        self.end_stream(token, self.options.retry);
    }

    /// Ends a stream, between two frames.
    pub(super) fn end_stream(&mut self, token: Token, retry: Duration) {
        self.leave_source(token);
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.phase = Phase::Ending;
        let mut last = Pending::new(final_block(retry), entry.framing);
        if entry.framing == Framing::Chunk {
            last.end_body();
        }
        let written = last.write(&entry.socket);
        self.after(token, written);
    }

    /// Ends the stream of a client that has closed its side, and may have gone. What was written before still goes out; of
    /// what it has not taken yet, the rest does, and nothing after it.
    pub(super) fn end_at_once(&mut self, token: Token) {
        self.leave_source(token);
        let Some(entry) = self.entries.get_mut(token) else { return };
        let ends_body = entry.framing == Framing::Chunk && entry.phase == Phase::Open;
        if let Some(pending) = &mut entry.pending {
            if ends_body {
                pending.end_body();
            }
            entry.phase = Phase::Ending;
            return;
        }
        if ends_body {
            // Whether it is taken makes no difference any more.
            Pending::new(Bytes::from_static(LAST_CHUNK), Framing::Raw).write(&entry.socket);
        }
        self.remove(token);
    }

    /// Closes our side, and waits for the client to close its own: what it sent and nobody read would have the system
    /// throw away what is still on its way to it.
    pub(super) fn shut_down(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if entry.socket.shutdown(std::net::Shutdown::Write).is_err() {
            self.remove(token);
            return;
        }
        entry.phase = Phase::Closing(self.now.saturating_add(self.times.close));
        self.arm(token);
        self.read_and_drop(token);
    }

    /// Reads what a client sends, though nobody wants it: it would be in the way of the end. One that sends too much is cut.
    pub(super) fn read_and_drop(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        loop {
            match entry.socket.read(&mut self.scratch) {
                Ok(0) => break,
                Ok(read) => entry.input_bytes = entry.input_bytes.saturating_add(read as u32),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            if entry.input_bytes as usize > STREAM_INPUT_BYTES_MAX {
                self.counters.count_closed(Closed::Input);
                break;
            }
        }
        self.remove(token);
    }

    pub(super) fn remove(&mut self, token: Token) {
        self.leave_source(token);
        self.entries.remove(token);
    }

    fn leave_source(&mut self, token: Token) {
        if let Some(key) = self.leave_list(token) {
            self.taps.leave(key);
        }
        if let Some(entry) = self.entries.get_mut(token) {
            entry.source = Source::Gone;
        }
    }

    /// Takes a reader out of the list of its channel; answers with the channel's key.
    pub(super) fn leave_list(&mut self, token: Token) -> Option<u32> {
        let entry = self.entries.get_mut(token)?;
        let Source::Standing { key, index, .. } = entry.source else { return None };
        entry.source = Source::Gone;
        if let Some(moved) = self.channels.leave(key, index)
            && let Some(Entry { source: Source::Standing { index: place, .. }, .. }) = self.entries.get_mut(moved)
        {
            *place = index;
        }
        Some(key)
    }
}
