//! Building a hub from its parts.

use std::sync::Arc;

use super::{Hub, HubState, Registry, stats::Counters};
use crate::{
    Limits,
    broker::{Broker, Deliveries, MemoryBroker},
    clock::{Clock, SystemClock},
    limits::FRAME_BYTES_MAX,
    sync::AtomicBool,
};

/// A builder for a [`Hub`] that differs from the default one.
#[derive(Debug, Default)]
pub struct Builder {
    limits: Limits,
    clock: Option<Arc<dyn Clock>>,
    broker: Option<Arc<dyn Broker>>,
}

impl Builder {
    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the clock. Default: the system's monotonic clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the broker. Default: a new [`MemoryBroker`].
    ///
    /// A broker serves one hub: [`build`](Self::build) panics if the `MemoryBroker` has one already.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Builds the hub.
    #[must_use]
    pub fn build(mut self) -> Hub {
        // A client of this crate could not read a longer frame.
        self.limits.frame_bytes_max = self.limits.frame_bytes_max.min(FRAME_BYTES_MAX);
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let broker = self.broker.unwrap_or_else(|| Arc::new(MemoryBroker::new()));
        let registry = Arc::new(Registry::new(self.limits));
        broker.start(Deliveries::new(&registry, clock.clone()));
        let state = HubState {
            registry,
            backfill_limits: broker.backfill_limits(),
            broker,
            clock,
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            has_sweeper: AtomicBool::new(false),
            counters: Counters::default(),
        };
        Hub { state: Arc::new(state) }
    }
}

impl Hub {
    /// Returns a builder for a hub with other limits, another clock or another broker.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::builder().build()
    }
}
