//! The channels of a subscription that have news, and the waker of its reader.
//!
//! One word has a bit per channel. A publisher sets the bit and wakes the reader if no bit was set; the reader takes all
//! bits and then looks into those logs. A publisher notifies after it has appended, and both sides change the word in one
//! atomic step. So a reader either sees the frame or is woken; the models in `model.rs` try every order.
//!
//! The reader is any [`Waker`](std::task::Waker): that of a task, or of anything else that implements
//! [`std::task::Wake`], such as a reactor or a file descriptor.

use std::{fmt, task::Waker};

use crate::sync::{AtomicU64, AtomicWaker, Ordering};

#[derive(Default)]
pub(crate) struct ReadySet {
    ready: AtomicU64,
    waker: AtomicWaker,
}

impl fmt::Debug for ReadySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadySet").finish_non_exhaustive()
    }
}

impl ReadySet {
    /// Marks the channel with this index as ready, and wakes the reader if no channel was.
    pub(crate) fn notify(&self, index: u32) {
        // Unconditional: a plain load could still show a bit that the reader has just taken. If this change comes before
        // the reader's swap, the reader sees the frame. If it comes after, the first change after the swap finds the word
        // empty and wakes the reader.
        if self.ready.fetch_or(1 << index, Ordering::AcqRel) == 0 {
            self.waker.wake();
        }
    }

    /// Registers the waker, then returns and clears the set of ready channels.
    pub(crate) fn register_and_take(&self, waker: &Waker) -> u64 {
        // In this order: a notification before the swap is taken, and one after it finds the waker.
        #[cfg(not(tidecast_loom))]
        self.waker.register(waker);
        #[cfg(tidecast_loom)]
        self.waker.register_by_ref(waker);
        self.ready.swap(0, Ordering::AcqRel)
    }
}
