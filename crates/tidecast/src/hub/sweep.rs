//! Sweeping: old events are dropped even if nothing is published.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{Hub, HubState};
use crate::sync::Ordering;

/// How long a channel's last reader has been gone before the broker is told. A page that is reloaded comes back within it.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

impl Hub {
    /// Drops events that are too old, and forgets channels that have been idle for as long.
    ///
    /// It takes about a microsecond per channel, and holds no lock for longer than one channel takes.
    pub fn sweep(&self) {
        for channel in self.state.registry.sweep(self.state.now(), RELEASE_AFTER) {
            self.state.broker.release(&channel);
        }
    }

    /// Claims the sweeping of this hub. Returns `None` if it is claimed already.
    #[must_use]
    pub fn sweeper(&self) -> Option<Sweeper> {
        let is_claimed = self.state.has_sweeper.swap(true, Ordering::AcqRel);
        (!is_claimed).then(|| Sweeper { hub: Arc::downgrade(&self.state) })
    }
}

/// The right to sweep a hub, without keeping the hub alive. Dropping it gives the right back.
#[derive(Debug)]
pub struct Sweeper {
    hub: Weak<HubState>,
}

impl Sweeper {
    /// Sweeps the hub once. Returns `false` if the hub is gone or closed, so that nothing is left to do.
    #[must_use]
    pub fn sweep(&self) -> bool {
        let Some(state) = self.hub.upgrade() else { return false };
        let hub = Hub { state };
        hub.sweep();
        !hub.is_closed()
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(state) = self.hub.upgrade() {
            state.has_sweeper.store(false, Ordering::Release);
        }
    }
}
