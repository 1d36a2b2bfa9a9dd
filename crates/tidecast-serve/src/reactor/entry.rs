//! A detached connection: a socket, where its stream stands, and what it has to be asked after.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use tidecast::{LogCursor, ReaderGroups, Subscription};

use super::{
    Member,
    chunk::{Framing, Pending},
    slab::Token,
    task_queue::Inbox,
    wheel::Tick,
};
use crate::detach::Seat;

/// A connection. There are many of these: what only some need at a time is in a box.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) socket: TcpStream,
    pub(super) phase: Phase,
    pub(super) source: Source,
    /// What is to be written before anything else.
    pub(super) pending: Option<Box<Pending>>,
    /// Since when the socket takes nothing; while it does not, nothing is written.
    pub(super) blocked_at: Option<Tick>,
    pub(super) sent_at: Tick,
    /// When the stream ends by itself.
    pub(super) ends_at: Tick,
    /// When it is next to be looked at.
    pub(super) armed_at: Tick,
    /// How much its client has sent, which was dropped.
    pub(super) input_bytes: u32,
    /// How what is written goes on the wire.
    pub(super) framing: Framing,
    pub(super) _seat: Seat,
    pub(super) _member: Member,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its stream goes on.
    Open,
    /// Its stream has ended, but for what is pending.
    Ending,
    /// All is written; the client is to close its side, until then at most.
    Closing(Tick),
}

/// Where what a stream says comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// One of those that stand at the tap of a channel, and where it is in the list of them.
    Standing { key: u32, index: u32, spot: LogCursor },
    /// A subscription with something of its own: several channels, a reset, a page of history.
    Whole(Box<Whole>),
    /// It says no more.
    Gone,
}

#[derive(Debug)]
pub(super) struct Whole {
    pub(super) subscription: Subscription,
    pub(super) waker: Waker,
    woken: Arc<Woken>,
}

/// Whom a whole subscription wakes.
#[derive(Debug)]
struct Woken {
    token: Token,
    inbox: Arc<Inbox>,
    /// Whether the inbox has been told, so that it holds each token once.
    told: AtomicBool,
}

impl Whole {
    pub(super) fn new(subscription: Subscription, token: Token, inbox: &Arc<Inbox>) -> Box<Self> {
        let woken = Arc::new(Woken { token, inbox: inbox.clone(), told: AtomicBool::new(false) });
        Box::new(Self { subscription, waker: woken.clone().into(), woken })
    }

    /// Has it stand at the tap of its channel; gives it back, with its waker, where it can't.
    pub(super) fn stand(self, taps: &mut ReaderGroups) -> Result<(u32, LogCursor), Box<Self>> {
        let Self { subscription, waker, woken } = self;
        taps.attach(subscription).map_err(|subscription| Box::new(Self { subscription: *subscription, waker, woken }))
    }

    /// To be called before it is polled, so that what comes after is told.
    pub(super) fn listen(&self) {
        self.woken.told.store(false, Ordering::Release);
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.inbox.mark_woken(self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are as many of these as connections, and hardly anything else of each.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 144, "{}", size_of::<Entry>());
    }
}
