//! The hub from outside: the real program, real sockets, one file per topic.
//!
//! What a file tests of other crates, such as the wire, is tested there; here it is that the program keeps what they
//! promise. No test depends on how fast the machine is.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping, in what they share as well")]

/// What every hub is told besides.
const SERVE: &[&str] = &[];

mod support;

mod access;
mod access_log;
mod bad_headers;
mod bad_http;
mod bad_publish;
mod bad_stream;
mod broken_output;
mod burst;
mod bytes;
mod channels;
mod cost;
mod cut_writes;
mod detach;
mod fast_path;
mod fleet;
mod full_sockets;
mod half_close;
mod handover;
mod head;
mod idempotency;
mod lifetime;
mod limits;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod memory;
mod proxies;
mod redis;
mod room;
mod same_stream;
mod stall;
mod stop;
mod tickets;
mod timeouts;
