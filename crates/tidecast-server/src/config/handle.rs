//! The configuration in force, for settings that may change while the hub runs.

use std::ops::Deref;

use parking_lot::RwLock;

use super::Config;

/// The configuration in force. Readers take a setting from it when they need it, and do not keep a copy.
#[derive(Debug)]
pub(crate) struct ConfigHandle(RwLock<Config>);

impl ConfigHandle {
    pub(crate) fn new(config: Config) -> Self {
        Self(RwLock::new(config))
    }

    /// Returns the configuration in force. It cannot be replaced while the result is held, so this is for short reads; the
    /// result is not `Send`, and so cannot be held across an `.await`.
    pub(crate) fn read(&self) -> impl Deref<Target = Config> + '_ {
        self.0.read()
    }

    /// Replaces the configuration in force.
    #[cfg(test)]
    pub(crate) fn replace(&self, config: Config) {
        *self.0.write() = config;
    }
}
