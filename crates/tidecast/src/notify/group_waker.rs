//! Readers of a channel that belong to one group: counted, not listed, and woken as one.

use std::{fmt, sync::Arc};

/// Wakes a group of readers when a channel has news for them.
///
/// Publishers call it from any thread, with no lock held. It must return quickly and must not wait for anything that a
/// publisher may hold.
pub trait GroupWaker: Send + Sync + 'static {
    /// Tells the group that the channel with this key has news.
    ///
    /// The key may be stale: no longer in use, or reused for another channel, which then has nothing to read.
    fn wake(&self, key: u32);
}

/// One group's readers of one channel.
#[derive(Clone)]
pub(crate) struct GroupEntry {
    pub(crate) waker: Arc<dyn GroupWaker>,
    pub(crate) key: u32,
    pub(crate) readers: usize,
}

impl GroupEntry {
    pub(crate) fn wake(&self) {
        self.waker.wake(self.key);
    }

    pub(crate) fn is(&self, waker: &Arc<dyn GroupWaker>, key: u32) -> bool {
        self.key == key && Arc::ptr_eq(&self.waker, waker)
    }
}

impl fmt::Debug for GroupEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupEntry").field("key", &self.key).field("readers", &self.readers).finish_non_exhaustive()
    }
}
