//! Waiting for conditions, and free ports.

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    panic::Location,
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for a condition before it fails: far longer than the condition takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The pause between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Returns how many times the usual number of rounds a test runs: 60 if `TIDECAST_SOAK` is set, which no log overflows,
/// else 1.
pub fn soak_factor() -> u32 {
    if env::var_os("TIDECAST_SOAK").is_some() { 60 } else { 1 }
}

/// Waits for a future, ten times as long in a soak.
#[track_caller]
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let limit = PATIENCE * soak_factor().min(10);
        let Ok(output) = tokio::time::timeout(limit, future).await else {
            panic!("{what} took longer than {limit:?}, awaited at {caller}");
        };
        output
    }
}

/// Checks a condition again and again until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        while !holds().await {
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Checks a condition again and again until it holds, blocking the thread. Returns whether it did within [`PATIENCE`].
#[must_use]
pub fn wait_until(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        thread::sleep(PAUSE);
    }
    false
}

/// Calls a function again and again, blocking the thread, until it returns something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    let _ = wait_until(|| {
        found = find();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("no {what} within {PATIENCE:?}"))
}

/// Returns a port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a listener has an address").port()
}
