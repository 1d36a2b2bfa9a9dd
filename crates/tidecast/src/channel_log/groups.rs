//! The readers of a channel that stand at a tap: counted, not listed.
//!
//! Ten thousand readers of one reactor are one outlet here, which is told once that there is news.

use std::{fmt, sync::Arc, time::Duration};

use super::{ChannelLog, Reader, State};
use crate::{
    log::FrameBounds,
    notify::Bell,
    reader_group::{GroupWaker, LogCursor},
};

/// Those who stand at one tap.
#[derive(Clone)]
pub(super) struct Outlet {
    mailbox: Arc<dyn GroupWaker>,
    key: u32,
    readers: usize,
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("key", &self.key).field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Outlet {
    /// Tells that there is something to read.
    pub(super) fn ring(&self) {
        self.mailbox.wake(self.key);
    }

    fn is(&self, mailbox: &Arc<dyn GroupWaker>, key: u32) -> bool {
        self.key == key && Arc::ptr_eq(&self.mailbox, mailbox)
    }
}

impl ChannelLog {
    /// Has a reader stand at a tap: its bell is not rung any more, the mailbox is.
    pub(crate) fn stand(&self, bell: &Arc<Bell>, mailbox: &Arc<dyn GroupWaker>, key: u32) {
        let mut state = self.state.lock();
        state.remove(bell, 0);
        match state.outlets.iter_mut().find(|outlet| outlet.is(mailbox, key)) {
            Some(outlet) => outlet.readers += 1,
            None => state.outlets.push(Outlet { mailbox: mailbox.clone(), key, readers: 1 }),
        }
    }

    /// Takes a reader from its tap, and gives it a bell again.
    pub(crate) fn lift(&self, bell: &Arc<Bell>, mailbox: &Arc<dyn GroupWaker>, key: u32) {
        let mut state = self.state.lock();
        state.readers.push(Reader { bell: bell.clone(), lane: 0 });
        state.leave_outlet(mailbox, key);
    }

    /// Removes a reader that stood at a tap.
    pub(crate) fn leave_tap(&self, mailbox: &Arc<dyn GroupWaker>, key: u32, now: Duration) {
        let mut state = self.state.lock();
        state.leave_outlet(mailbox, key);
        state.end_if_unread(now);
    }

    /// Reads on from a spot, as [`read`](Self::read) does, and counts nothing: many may be given what is read once.
    pub(crate) fn read_tap(
        &self,
        spot: LogCursor,
        bytes_max: usize,
        on_frame: impl FnMut(FrameBounds),
    ) -> Option<(bytes::Bytes, u64)> {
        let mut state = self.state.lock();
        if state.log.life() != spot.life || spot.next < state.log.oldest() {
            return None;
        }
        // Who stands at a tap was there before whatever comes next, so all that is foreign is for it.
        let stretch = state.log.read(spot.next, 0, bytes_max, usize::MAX, on_frame);
        Some((stretch.bytes, stretch.next))
    }
}

impl State {
    fn leave_outlet(&mut self, mailbox: &Arc<dyn GroupWaker>, key: u32) {
        let Some(here) = self.outlets.iter().position(|outlet| outlet.is(mailbox, key)) else { return };
        let outlet = &mut self.outlets[here];
        outlet.readers -= 1;
        if outlet.readers == 0 {
            self.outlets.swap_remove(here);
        }
    }

    pub(super) fn tapped(&self) -> usize {
        self.outlets.iter().map(|outlet| outlet.readers).sum()
    }
}
