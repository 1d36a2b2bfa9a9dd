//! The error with which Redis most recently rejected an event: it is out of memory, cannot save, or has too few replicas.
//!
//! Only the next publish shows whether that is over, so the error is valid for a few seconds. Until then the node is not
//! ready, and a load balancer sends its publishers elsewhere.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long an error is valid unless an event is accepted before, and the shortest pause between two log lines.
const VALID_FOR: Duration = Duration::from_secs(5);

/// The codes of errors that concern every channel.
const SERVER_WIDE: [&str; 3] = ["OOM", "MISCONF", "NOREPLICAS"];

/// The last error, and whether it is still valid.
#[derive(Debug, Default)]
pub(crate) struct LastWriteError {
    /// Spares the lock when an event is accepted.
    is_some: AtomicBool,
    last: Mutex<Option<(Instant, String)>>,
}

impl LastWriteError {
    /// Records an error and logs it, unless one is valid.
    pub(crate) fn record(&self, reason: &str) {
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(|(at, _)| at.elapsed() < VALID_FOR) {
            return;
        }
        *last = Some((Instant::now(), reason.to_owned()));
        self.is_some.store(true, Ordering::Relaxed);
        drop(last);
        tracing::warn!(reason, "redis: the server rejects events");
    }

    /// Clears the error, because an event was accepted.
    pub(crate) fn clear(&self) {
        if self.is_some.load(Ordering::Relaxed) {
            *self.last.lock() = None;
            self.is_some.store(false, Ordering::Relaxed);
        }
    }

    /// Returns the valid error if it concerns every channel.
    pub(crate) fn current(&self) -> Option<String> {
        let last = self.last.lock();
        let (at, reason) = last.as_ref()?;
        let applies = at.elapsed() < VALID_FOR && SERVER_WIDE.iter().any(|code| reason.starts_with(code));
        applies.then(|| reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_one_channel_does_not_concern_the_others() {
        let write_error = LastWriteError::default();
        write_error.record("NOPERM this user has no permissions to access one of the keys");
        assert_eq!(write_error.current(), None);
        write_error.clear();
        write_error.record("OOM command not allowed");
        assert_eq!(write_error.current().as_deref(), Some("OOM command not allowed"));
        write_error.clear();
        assert_eq!(write_error.current(), None);
    }
}
