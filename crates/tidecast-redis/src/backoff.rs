//! How long to wait before the next attempt: doubling up to a cap, and jittered over the whole of it.
//!
//! Full jitter, because many nodes lose the same Redis at the same moment and must not all come back in the same
//! instant. It is told its random numbers and reads no clock. Connecting and the listener ask it.

use std::time::Duration;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    /// How many attempts have failed in a row.
    failed: u32,
}

impl Backoff {
    /// What the listener uses between attempts that fail. The longest pause is how late a node may hear that Redis is
    /// back.
    pub(crate) const RECONNECT: Self = Self::new(Duration::from_millis(100), Duration::from_secs(1));

    pub(crate) const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failed: 0 }
    }

    /// How long to wait after one more failure: anything from nothing to `base`, then to twice that, and so on to
    /// `max`. `random` is drawn from 0 up to but not including 1, as [`fastrand::f64`] does.
    pub(crate) fn after_failure(&mut self, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(2_u32.saturating_pow(self.failed)).min(self.max);
        self.failed = self.failed.saturating_add(1);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    /// The next failure is the first of its row.
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
    fn it_doubles_up_to_its_cap() {
        let mut backoff = Backoff::RECONNECT;
        assert_eq!(ceilings(&mut backoff, 9), [100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn it_begins_anew_after_a_success() {
        let mut backoff = Backoff::RECONNECT;
        ceilings(&mut backoff, 5);
        backoff.reset();
        assert_eq!(ceilings(&mut backoff, 2), [100, 200]);
    }

    #[test]
    fn the_jitter_is_over_the_whole_of_it() {
        let mut backoff = Backoff::RECONNECT;
        ceilings(&mut backoff, 3);
        assert_eq!(backoff.after_failure(0.0), Duration::ZERO);
        assert_eq!(backoff.after_failure(0.5), Duration::from_millis(500));
    }

    #[test]
    fn a_row_without_end_stays_at_the_cap() {
        let mut backoff = Backoff { failed: u32::MAX, ..Backoff::RECONNECT };
        assert_eq!(backoff.after_failure(1.0), Duration::from_secs(1));
        assert_eq!(backoff.after_failure(1.0), Duration::from_secs(1));
    }
}
