//! Supervision of long-lived tasks: one that panics, or returns though it should not, is started again.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use futures_util::future::FutureExt;
use tokio::time;

use crate::{backoff::Backoff, stats::count};

/// How long a task has to have run for its end to count as the first of a row.
const STEADY: Duration = Duration::from_secs(10);

/// Runs a task for ever. Each time that it ends, `on_end` is called, the end is logged and counted, and after a pause
/// the task is started again.
///
/// # Cancel safety
///
/// Dropping the future drops the task, without a call of `on_end`.
pub(crate) async fn supervise<F: Future<Output = ()>>(
    task: &'static str,
    restarts: &AtomicU64,
    mut start: impl FnMut() -> F,
    on_end: impl Fn(),
) {
    let mut backoff = Backoff::RECONNECT;
    loop {
        let started = Instant::now();
        // Whatever the task left half done is put right by `on_end`: no lock here is poisoned by a panic.
        let ended = AssertUnwindSafe(async { start().await }).catch_unwind().await;
        on_end();
        count(restarts);
        if started.elapsed() > STEADY {
            backoff.reset();
        }
        let retry_in = backoff.after_failure(fastrand::f64());
        let reason = ended.err().map_or("it returned".to_owned(), |panic| words_of(&*panic));
        tracing::error!(task, reason, ?retry_in, "redis: a task ended; starting it again");
        time::sleep(retry_in).await;
    }
}

/// Returns what a panic said.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a word"))
}

/// The places at which a test can have a task panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailPoint {
    Listening,
    Push,
    Backfill,
    LagCheck,
    Routing,
    Sentinels,
}

/// What a test has asked for; outside of tests there is nothing in it, and nothing happens.
#[derive(Debug, Default)]
pub(crate) struct FailPoints {
    #[cfg(test)]
    armed: parking_lot::Mutex<Option<FailPoint>>,
}

impl FailPoints {
    /// Panics, once, if a test asked for it.
    #[cfg(test)]
    pub(crate) fn trip(&self, at: FailPoint) {
        let tripped = self.armed.lock().take_if(|armed| *armed == at);
        assert!(tripped.is_none(), "a test asked for this");
    }

    #[cfg(not(test))]
    #[inline]
    pub(crate) fn trip(&self, _at: FailPoint) {}

    /// Has the next task that comes to this place panic.
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
