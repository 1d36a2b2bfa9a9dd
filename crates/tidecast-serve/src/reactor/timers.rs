//! What is due when nothing happens: keep-alive comments, clients that take nothing, the end of a lifetime.

use tidecast::wire::KEEP_ALIVE;

use super::{
    chunk::write,
    connections::Connections,
    entry::{Entry, Phase},
    slab::Token,
    wheel::{NEVER, Tick},
};

impl Connections {
    /// Does what is due by now.
    pub(super) fn keep_time(&mut self) {
        let mut due = Vec::new();
        self.wheel.turn(self.now, &mut due);
        for (at, token) in due {
            // One that was put in again for another time is not looked at twice.
            if self.entries.get_mut(token).is_some_and(|entry| entry.armed_at == at) {
                self.look_after(token);
                if let Some(entry) = self.entries.get_mut(token) {
                    entry.armed_at = NEVER;
                    self.arm(token);
                }
            }
        }
    }

    /// Sees to it that a connection is looked at no later than its next deadline.
    pub(super) fn arm(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        let deadline = match entry.phase {
            Phase::Closing(until) => until,
            Phase::Open | Phase::Ending => match entry.blocked_at {
                Some(since) => since.saturating_add(self.times.stall),
                None => comment_at(entry, self.times.keep_alive).min(entry.ends_at),
            },
        };
        if deadline < entry.armed_at {
            entry.armed_at = self.wheel.put(token, deadline);
        }
    }

    fn look_after(&mut self, token: Token) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(token) else { return };
        match (entry.phase, entry.blocked_at) {
            (Phase::Closing(until), _) if now >= until => self.remove(token),
            (Phase::Open | Phase::Ending, Some(since)) if now >= since.saturating_add(self.times.stall) => {
                self.cut(token);
            }
            (Phase::Open, None) if now >= entry.ends_at => self.end_lifetime(token),
            (Phase::Open, None) if now >= comment_at(entry, self.times.keep_alive) => {
                let written = write(&entry.socket, &KEEP_ALIVE, entry.framing);
                self.after(token, written);
            }
            _ => {}
        }
    }

    /// Ends a connection whose client takes nothing, and what the system keeps for it.
    fn cut(&mut self, token: Token) {
        self.counters.count_stalled();
        if let Some(entry) = self.entries.get_mut(token) {
            // Otherwise the system would go on to try, with all that is waiting.
            let _ = rustix::net::sockopt::set_socket_linger(&entry.socket, Some(std::time::Duration::ZERO));
        }
        self.remove(token);
    }
}

fn comment_at(entry: &Entry, keep_alive: Tick) -> Tick {
    if keep_alive == NEVER { NEVER } else { entry.sent_at.saturating_add(keep_alive) }
}
