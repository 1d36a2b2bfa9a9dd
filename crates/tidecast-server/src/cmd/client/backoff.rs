//! Delays between attempts, which grow and are random, so that clients do not all return to a hub at once.

use std::time::Duration;

/// Exponential backoff with jitter.
#[derive(Debug, Clone)]
pub(crate) struct ClientBackoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl ClientBackoff {
    /// Creates a backoff that begins at `first` and doubles up to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Begins again at the first delay, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Returns the delay before the next attempt: between half of the current delay and all of it.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next.min(self.longest);
        self.next = (delay * 2).min(self.longest);
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_begin_again() {
        let mut backoff = ClientBackoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for most in [100, 200, 350, 350] {
            let delay = backoff.next_delay();
            assert!(delay <= Duration::from_millis(most) && delay >= Duration::from_millis(most / 2), "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}
