//! Supervises long-lived tasks: one that panics or returns is restarted.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use futures_util::future::FutureExt;
use tokio::time;

use crate::{backoff::Backoff, stats::count};

/// A task that ran this long was a success, so its end is the first of a row.
const STEADY: Duration = Duration::from_secs(10);

/// Runs a task forever. When it ends, `on_end` is called, the end is logged and counted, and after a pause the task is
/// started again.
///
/// # Cancel safety
///
/// Dropping the future drops the task without calling `on_end`.
pub(crate) async fn supervise<F: Future<Output = ()>>(
    task: &'static str,
    restarts: &AtomicU64,
    mut start: impl FnMut() -> F,
    on_end: impl Fn(),
) {
    let mut backoff = Backoff::RECONNECT;
    loop {
        let started = Instant::now();
        // `on_end` repairs what the task left half done. No lock here is poisoned by a panic.
        let ended = AssertUnwindSafe(async { start().await }).catch_unwind().await;
        on_end();
        count(restarts);
        if started.elapsed() > STEADY {
            backoff.reset();
        }
        let retry_in = backoff.after_failure(fastrand::f64());
        let reason = ended.err().map_or("it returned".to_owned(), |panic| panic_message(&*panic));
        tracing::error!(task, reason, ?retry_in, "redis: a task ended; restarting it");
        time::sleep(retry_in).await;
    }
}

/// Returns the message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

/// A place at which a test can have a task panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailPoint {
    Listening,
    Push,
    Backfill,
    LagCheck,
    Routing,
    Sentinels,
}

/// The fail point that a test has armed. Empty outside of tests.
#[derive(Debug, Default)]
pub(crate) struct FailPoints {
    #[cfg(test)]
    armed: parking_lot::Mutex<Option<FailPoint>>,
}

impl FailPoints {
    /// Panics once if a test armed this fail point.
    #[cfg(test)]
    pub(crate) fn trip(&self, at: FailPoint) {
        let tripped = self.armed.lock().take_if(|armed| *armed == at);
        assert!(tripped.is_none(), "armed by a test");
    }

    #[cfg(not(test))]
    #[inline]
    pub(crate) fn trip(&self, _at: FailPoint) {}

    /// Has the next task that reaches a fail point panic.
    #[cfg(test)]
    pub(crate) fn arm(&self, at: FailPoint) {
        *self.armed.lock() = Some(at);
    }

    #[cfg(test)]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.lock().is_some()
    }
}

#[cfg(test)]
mod tests;
