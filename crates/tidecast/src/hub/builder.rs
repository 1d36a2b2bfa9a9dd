//! A hub's parts, put together.

use std::sync::Arc;

use super::{Inner, Registry, stats::Counters};
use crate::{
    Hub, Limits,
    broker::{Broker, Deliveries, MemoryBroker},
    clock::{Clock, SystemClock},
    limits::FRAME_BYTES_MAX,
    sync::AtomicBool,
};

/// Makes a [`Hub`] other than the default one.
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

    /// Sets the clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the broker. Default: a [`MemoryBroker`] of this hub's own.
    ///
    /// A broker serves one hub: [`build`](Self::build) panics where a `MemoryBroker` has one already.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Makes the hub.
    #[must_use]
    pub fn build(mut self) -> Hub {
        // What a client of this crate could not read is not sent.
        self.limits.frame_bytes_max = self.limits.frame_bytes_max.min(FRAME_BYTES_MAX);
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let broker = self.broker.unwrap_or_else(|| Arc::new(MemoryBroker::new()));
        let registry = Arc::new(Registry::new(self.limits));
        broker.start(Deliveries::new(&registry, clock.clone()));
        let inner = Inner {
            registry,
            backfill_limits: broker.backfill_limits(),
            broker,
            clock,
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            swept_by_task: AtomicBool::new(false),
            counters: Counters::default(),
        };
        Hub { inner: Arc::new(inner) }
    }
}
