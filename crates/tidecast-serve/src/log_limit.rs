//! Limits how often the log reports something that may happen very often.

use std::time::Instant;

use parking_lot::Mutex;

use crate::limits::LOG_INTERVAL;

/// Limits the log lines on one kind of event: the first event is logged at once, later ones at most once each
/// [`LOG_INTERVAL`], with their count.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<Logged>);

#[derive(Debug, Default)]
struct Logged {
    at: Option<Instant>,
    /// Events since then.
    unlogged: u64,
}

impl LogLimit {
    /// Counts an event. Returns how many events a log line is to report, this one included, or `None` if none is due.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut logged = self.0.lock();
        logged.unlogged += 1;
        if logged.at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            return None;
        }
        logged.at = Some(now);
        Some(std::mem::take(&mut logged.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_the_events_that_had_none() {
        let (limit, begin) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.due(begin), Some(1));
        for _ in 0..1_000 {
            assert_eq!(limit.due(begin + LOG_INTERVAL / 2), None);
        }
        assert_eq!(limit.due(begin + LOG_INTERVAL), Some(1_001));
        assert_eq!(limit.due(begin + LOG_INTERVAL * 3), Some(1));
    }
}
