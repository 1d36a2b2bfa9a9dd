//! Exponential backoff with full jitter: many nodes lose the same Redis at once, and must not all return at once.

use std::time::Duration;

/// The pauses between failed attempts, which double up to a maximum.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    /// The number of failures in a row.
    failed: u32,
}

impl Backoff {
    /// For connections. The longest pause bounds how late a node notices that Redis is back.
    pub(crate) const RECONNECT: Self = Self::new(Duration::from_millis(100), Duration::from_secs(1));

    pub(crate) const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failed: 0 }
    }

    /// Counts a failure and returns the pause: between zero and `base`, then twice that, and so on up to `max`. `random`
    /// is from 0 to 1, as drawn by [`fastrand::f64`].
    pub(crate) fn after_failure(&mut self, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(self.failed)).min(self.max);
        self.failed = self.failed.saturating_add(1);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    /// Makes the next failure the first of its row.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.after_failure(1.0).as_millis()).collect()
    }

    #[test]
    fn the_pause_doubles_up_to_the_maximum() {
        let mut backoff = Backoff::RECONNECT;
        assert_eq!(ceilings(&mut backoff, 9), [100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn a_reset_begins_again() {
        let mut backoff = Backoff::RECONNECT;
        ceilings(&mut backoff, 5);
        backoff.reset();
        assert_eq!(ceilings(&mut backoff, 2), [100, 200]);
    }

    #[test]
    fn jitter_covers_the_whole_pause() {
        let mut backoff = Backoff::RECONNECT;
        ceilings(&mut backoff, 3);
        assert_eq!(backoff.after_failure(0.0), Duration::ZERO);
        assert_eq!(backoff.after_failure(0.5), Duration::from_millis(500));
    }

    #[test]
    fn many_failures_stay_at_the_maximum() {
        let mut backoff = Backoff { failed: u32::MAX, ..Backoff::RECONNECT };
        assert_eq!(backoff.after_failure(1.0), Duration::from_secs(1));
        assert_eq!(backoff.after_failure(1.0), Duration::from_secs(1));
    }
}
