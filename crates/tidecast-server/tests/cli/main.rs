//! The commands that speak to a hub, by real processes: `publish`, `tail`, `bench`.
//!
//! Nothing here waits for a time to pass: it waits for what it needs to see, with a deadline far longer than that takes.

mod fake_hub;
mod log;
mod process;
mod restart;
mod ticket;
mod usage;

use std::time::{Duration, Instant};

/// How long anything may take. No test takes as long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until there is something, and fails the test if there never is.
#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "no {what} within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
