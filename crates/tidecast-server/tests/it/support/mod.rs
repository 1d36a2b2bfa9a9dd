//! What the tests speak to the hub with: its process, HTTP by hand, and an `EventSource`.
//!
//! None of it knows the server's code. Whatever waits has a deadline that is far longer than what it waits for takes, so
//! that a hub that hangs fails the test and a slow machine does not.

mod http;
mod hub;
pub(crate) mod metrics;
mod source;
mod ticket;
mod witness;

use std::time::Duration;

pub(crate) use self::{
    http::{Answer, Connection, Head, request},
    hub::{Hub, Signal},
    source::{BROWSER, Source, Stream},
    ticket::{now, ticket, ticket_of},
    witness::Witness,
};

/// How long anything may take. No test takes as long unless it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks at something that will be true soon.
const PAUSE: Duration = Duration::from_millis(5);

/// How many times the usual a test does: far more where TIDECAST_SOAK is set, yet no more than a log holds.
pub(crate) fn times() -> u32 {
    if std::env::var_os("TIDECAST_SOAK").is_some() { 60 } else { 1 }
}

/// Waits for a future, and fails the test if it takes too long.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = DEADLINE * times();
        let Ok(output) = tokio::time::timeout(deadline, future).await else {
            panic!("{what} took longer than {deadline:?}, asked for at {place}");
        };
        output
    }
}

/// Looks until a condition holds, and fails the test if it never does.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        while !holds().await {
            tokio::time::sleep(PAUSE).await;
        }
    })
}
