//! The configuration in force, for settings that may change while the hub runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;

/// The configuration in force. Each request takes one snapshot, and all its checks use that.
#[derive(Debug)]
pub(crate) struct ConfigHandle(ArcSwap<Config>);

impl ConfigHandle {
    pub(crate) fn new(config: Config) -> Self {
        Self(ArcSwap::from_pointee(config))
    }

    /// Returns the configuration in force.
    pub(crate) fn snapshot(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Replaces an old snapshot by the configuration in force. Unlike [`snapshot`](Self::snapshot), it writes to no memory
    /// that other threads use unless the configuration has changed.
    pub(crate) fn refresh(&self, snapshot: &mut Arc<Config>) {
        let current = self.0.load();
        if !Arc::ptr_eq(&current, snapshot) {
            *snapshot = Arc::clone(&current);
        }
    }

    /// Replaces the configuration in force.
    #[cfg(test)]
    pub(crate) fn replace(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}
