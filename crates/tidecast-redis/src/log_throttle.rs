//! Limits how often a repeated failure is logged, so that an outage of Redis does not flood the log.

use std::{mem, time::Duration};

use tokio::time::Instant;

/// The shortest pause between two lines with the same reason.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The most reasons logged within [`LOG_EVERY`]. More would be text that differs each time, such as a port.
const REASONS_MAX: usize = 8;

/// The failures logged recently, and those not logged.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    /// The reasons logged within [`LOG_EVERY`], and when.
    logged: Vec<(String, Instant)>,
    /// The number of failures since the last line.
    failures: u64,
}

impl LogThrottle {
    /// Counts a failure. If it should be logged, returns the number of failures since the last line, this one included: a
    /// new reason is logged at once, and the same one every 10 s.
    pub(crate) fn record(&mut self, reason: &str) -> Option<u64> {
        self.failures += 1;
        self.logged.retain(|(_, at)| at.elapsed() < LOG_EVERY);
        if self.logged.len() >= REASONS_MAX || self.logged.iter().any(|(logged, _)| logged == reason) {
            return None;
        }
        self.logged.push((reason.to_owned(), Instant::now()));
        Some(mem::take(&mut self.failures))
    }

    /// Has the next failure logged at once, because an attempt succeeded.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_reason_is_logged_once_in_ten_seconds_with_the_failures_since() {
        let mut throttle = LogThrottle::default();
        let mut lines = Vec::new();
        for second in 0..21 {
            lines.extend(throttle.record("refused").map(|failures| (second, failures)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lines, [(0, 1), (10, 10), (20, 10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn another_reason_and_one_after_a_success_are_logged_at_once() {
        let mut throttle = LogThrottle::default();
        let lines = ["refused", "refused", "WRONGPASS", "refused"].map(|reason| throttle.record(reason));
        assert_eq!(lines, [Some(1), None, Some(2), None]);
        throttle.reset();
        assert_eq!(throttle.record("refused"), Some(1));
        // Reasons that never repeat are bounded too.
        let logged = (0..100).filter_map(|number| throttle.record(&number.to_string())).count();
        assert_eq!(logged, REASONS_MAX - 1);
    }
}
