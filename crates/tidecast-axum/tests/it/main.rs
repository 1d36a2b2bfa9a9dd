//! The adapter from the outside: requests, and the heads and bodies of their responses.
//!
//! Time is tokio's and paused, so that an interval of silence takes no time. The tests in [`sockets`] use real sockets.

#![expect(clippy::unwrap_used, reason = "what surrounds a test says what it expects by unwrapping, as tests do")]

mod authorize;
mod body;
mod exchange;
mod feed;
mod handoff;
mod problem;
mod query;
mod response;
mod resume;
mod router;
mod sockets;
mod sweeping;
