//! How often the log tells of something that may happen very often.

use std::time::Instant;

use parking_lot::Mutex;

use crate::limits::LOG_INTERVAL;

/// Limits the log lines on one kind of event: the first has a line at once, and then there is at most one each
/// [`LOG_INTERVAL`], with a count.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Logged>);

/// When a line was last due, and how many events have had none since.
#[derive(Debug, Default)]
struct Logged {
    at: Option<Instant>,
    unlogged: u64,
}

impl LogLimit {
    /// Counts an event. Returns how many a line is to tell of, this one included; `None` if no line is due.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
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
    fn a_line_tells_of_those_before_it_that_had_none() {
        let (limit, begin) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.due(begin), Some(1));
        for _ in 0..1_000 {
            assert_eq!(limit.due(begin + LOG_INTERVAL / 2), None);
        }
        assert_eq!(limit.due(begin + LOG_INTERVAL), Some(1_001));
        assert_eq!(limit.due(begin + LOG_INTERVAL * 3), Some(1));
    }
}
