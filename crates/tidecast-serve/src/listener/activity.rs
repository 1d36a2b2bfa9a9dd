//! Whether a connection is busy, idle, or to be closed for another one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    task::Context,
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;

/// Whether a connection is busy with a request or idle. An idle connection may be closed to make room for another one.
#[derive(Debug)]
pub struct Activity {
    /// [`BUSY`], [`EVICTED`], or since when the connection is idle, in microseconds after `epoch`.
    state: AtomicU64,
    waker: AtomicWaker,
    epoch: Instant,
}

const BUSY: u64 = 0;
const EVICTED: u64 = u64::MAX;

/// Idle since now.
impl Default for Activity {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Activity {
    /// Creates the state of a connection that is idle since now. States with the same `epoch` can be compared.
    pub(crate) fn new(epoch: Instant) -> Self {
        let activity = Self { state: AtomicU64::new(BUSY), waker: AtomicWaker::new(), epoch };
        activity.set_idle();
        activity
    }

    /// Marks the connection as busy: a request has arrived. A connection that was to be closed stays open for it, and
    /// another one is closed instead.
    pub fn set_busy(&self) {
        self.state.store(BUSY, Ordering::Release);
    }

    /// Marks the connection as idle: no request is being handled, though a response may still be on its way.
    pub fn set_idle(&self) {
        let now = micros(self.epoch.elapsed());
        let idle = |state| (state == BUSY).then_some(now);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, idle);
    }

    /// Returns whether the connection is to be closed, and registers the task to be woken when it is.
    pub fn poll_evicted(&self, context: &mut Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.is_evicted()
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.state.load(Ordering::Acquire) == EVICTED
    }

    /// Returns since when the connection is idle, or `None` if it is busy or to be closed.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        Some(self.state.load(Ordering::Acquire)).filter(|state| *state != BUSY && *state != EVICTED)
    }

    /// Has the connection closed, if it is still idle since `since`.
    pub(crate) fn evict(&self, since: u64) {
        if self.state.compare_exchange(since, EVICTED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.waker.wake();
        }
    }
}

/// Returns a time in microseconds, which is never one of the two other states.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(EVICTED).clamp(BUSY + 1, EVICTED - 1)
}
