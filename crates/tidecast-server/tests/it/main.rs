//! The hub from outside: the real program and real sockets, a file for each topic.
//!
//! The wire format and other parts of the crates are tested in those crates. These tests check the whole program. No
//! test depends on the speed of the machine.

#![allow(clippy::unwrap_used, reason = "a helper of a test may unwrap as the test itself does")]

mod access;
mod access_log;
mod bad_headers;
mod bad_http;
mod bad_publish;
mod broken_output;
mod channels;
mod cost;
mod cut_writes;
mod detach;
mod fast_path;
mod full_sockets;
mod handover;
mod idempotency;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod memory;
mod proxies;
mod redis;
mod same_stream;
mod streams;
mod support;
mod timeouts;
mod turned_off;

use tidecast_test::Program;

const TIDECAST: Program = Program::new(env!("CARGO_BIN_EXE_tidecast"));
