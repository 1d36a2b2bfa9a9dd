//! What a publisher rings to tell a subscription that there is something to read, and where.
//!
//! One word has a bit per channel of the subscription. Ringing sets the bit, and wakes whoever waits if none was set; a
//! reader takes all bits, then looks into those logs. A publisher rings after it has appended, and both sides change the
//! word by one atomic step, so a reader either sees the frame or is woken: the models in `model.rs` try every order.
//!
//! Whom it wakes is a [`Waker`](std::task::Waker): a task's, or any other that implements [`std::task::Wake`], such as a
//! reactor's mailbox or a file descriptor.

use std::{fmt, task::Waker};

use crate::sync::{AtomicU64, AtomicWaker, Ordering};

#[derive(Default)]
pub(crate) struct Bell {
    rung: AtomicU64,
    waker: AtomicWaker,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

impl Bell {
    /// Tells that the log of channel number `lane` has news.
    pub(crate) fn ring(&self, lane: u32) {
        // An unconditional change, not a look first: only a change that comes later in the word's own order than the
        // reader's is sure to be seen by the reader, and only one that comes earlier shows the reader the frame.
        if self.rung.fetch_or(1 << lane, Ordering::AcqRel) == 0 {
            self.waker.wake();
        }
    }

    /// Names who is to be woken, then takes the bits of the channels that have rung since the last time.
    pub(crate) fn take(&self, waker: &Waker) -> u64 {
        // In this order: a ring that comes before the taking is taken, one that comes after it finds the waker.
        #[cfg(not(tidecast_loom))]
        self.waker.register(waker);
        #[cfg(tidecast_loom)]
        self.waker.register_by_ref(waker);
        self.rung.swap(0, Ordering::AcqRel)
    }
}
