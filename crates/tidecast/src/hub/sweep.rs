//! Sweeping: what grows old goes, though nothing is published.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{Hub, hub::Inner, sync::Ordering};

/// How long the last reader of a channel has been gone before the broker is told: a page that is loaded again comes back
/// within it.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

impl Hub {
    /// Drops events that have grown too old, and forgets channels that have been idle for as long.
    ///
    /// Takes about a microsecond a channel, and holds no lock for longer than one channel takes.
    pub fn sweep(&self) {
        for channel in self.inner.registry.sweep(self.inner.now(), RELEASE_AFTER) {
            self.inner.broker.release(&channel);
        }
    }

    /// Claims the sweeping of this hub: `None` if somebody else has it.
    #[must_use]
    pub fn sweeper(&self) -> Option<Sweeper> {
        let claimed = !self.inner.swept_by_task.swap(true, Ordering::AcqRel);
        claimed.then(|| Sweeper { hub: Arc::downgrade(&self.inner) })
    }
}

/// The right to sweep a hub, without keeping it alive. Dropping it gives the right back.
#[derive(Debug)]
pub struct Sweeper {
    hub: Weak<Inner>,
}

impl Sweeper {
    /// Sweeps the hub once; `false` if it has gone or is closed, so that there is nothing more to do.
    #[must_use]
    pub fn sweep(&self) -> bool {
        let Some(inner) = self.hub.upgrade() else { return false };
        let hub = Hub { inner };
        hub.sweep();
        !hub.is_closed()
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(inner) = self.hub.upgrade() {
            inner.swept_by_task.store(false, Ordering::Release);
        }
    }
}
