//! What Redis said when it last refused to take an event, though it is there: it has no memory left, can't save, or has
//! too few replicas.
//!
//! Nothing but the next publish finds out whether that is over, so it counts for a few seconds. Until then the node is
//! not ready: whoever spreads publishers over nodes is not to send them here.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long a refusal counts, unless an event is accepted before; and how often, at most, one is told in the log.
const VALID_FOR: Duration = Duration::from_secs(5);

/// What concerns every event, whatever its channel.
const SERVER_WIDE: [&str; 3] = ["OOM", "MISCONF", "NOREPLICAS"];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LastWriteError {
    /// So that an event that is accepted costs no lock.
    is_some: AtomicBool,
    last: Mutex<Option<(Instant, String)>>,
}

impl LastWriteError {
    /// Keeps the words of a refusal, and tells them in the log, unless it did a moment ago.
    pub(crate) fn record(&self, message: &str) {
        let mut last = self.last.lock();
        let logged = last.as_ref().is_some_and(|(at, _)| at.elapsed() < VALID_FOR);
        if !logged {
            *last = Some((Instant::now(), message.to_owned()));
            self.is_some.store(true, Ordering::Relaxed);
        }
        drop(last);
        if !logged {
            tracing::warn!(reason = message, "redis refuses events");
        }
    }

    /// An event was accepted.
    pub(crate) fn clear(&self) {
        if self.is_some.load(Ordering::Relaxed) {
            *self.last.lock() = None;
            self.is_some.store(false, Ordering::Relaxed);
        }
    }

    /// Why no event would be accepted now, as far as is known.
    pub(crate) fn current(&self) -> Option<String> {
        let last = self.last.lock();
        let (at, message) = last.as_ref()?;
        let applies = at.elapsed() < VALID_FOR && SERVER_WIDE.iter().any(|code| message.starts_with(code));
        applies.then(|| message.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_channel_keeps_nobody_from_the_others() {
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
