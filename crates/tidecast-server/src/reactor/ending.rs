//! How connections end: the last block between two frames, our side closed, and the client's waited for; or at once.

use std::{io::Read, time::Duration};

use tidecast::wire::final_block;

use super::{
    chunk::{Framing, LAST_CHUNK, Pending, framed},
    connections::Connections,
    entry::{Entry, Phase, Source},
    slab::Token,
};

/// How much of what a client still sends is read, and dropped, before another has its turn.
const READ_BYTES_MAX: usize = 64 * 1024;

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
        let mut last = framed(&final_block(retry));
        last.extend_from_slice(LAST_CHUNK);
        let written = Pending::new(last.into(), Framing::Raw).write(&entry.socket);
        self.after(token, written);
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

    /// Reads what a client sends, though nobody wants it: it would be in the way of the end.
    pub(super) fn read_and_drop(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        for _ in 0..READ_BYTES_MAX / self.scratch.len() {
            match entry.socket.read(&mut self.scratch) {
                Ok(0) => {
                    self.remove(token);
                    return;
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.remove(token);
                    return;
                }
            }
        }
        self.unread.push_back(token);
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
