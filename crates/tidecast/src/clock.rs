//! The source of the time.
//!
//! Only [`Hub`](crate::Hub) reads a clock, and passes the time on. So tests of ages, sweeps and forgetting run on a
//! [`ManualClock`], without waiting.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A clock that never goes back.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Returns the time since the clock started.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// A clock that a test moves by hand.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tidecast::{Event, Hub, clock::ManualClock};
///
/// let clock = Arc::new(ManualClock::default());
/// let hub = Hub::builder().clock(clock.clone()).build();
/// hub.publish_now("sse", Event::text("old"))?;
/// clock.advance(Duration::from_secs(301));
/// hub.sweep();
/// assert_eq!(hub.stats().log_events, 0);
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    elapsed_ns: AtomicU64,
}

impl ManualClock {
    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        let by_ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_ns.fetch_add(by_ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.elapsed_ns.load(Ordering::SeqCst))
    }
}
