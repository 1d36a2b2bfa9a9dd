//! The adapter from the outside: requests go in, heads and bytes come out.
//!
//! Where time matters it is tokio's, paused: fifteen seconds of silence take no time. Real sockets are in [`sockets`].

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
