//! Streams as ordinary bodies: what is tested of streams in `tests/it` holds for those that no reactor serves.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping, in what they share as well")]
#![allow(dead_code, reason = "some of what the tests share is for those that are not here")]

/// What every hub is told besides.
const SERVE: &[&str] = &["--reactors", "0"];

#[path = "../it/support/mod.rs"]
mod support;

#[path = "../it/bad_stream.rs"]
mod bad_stream;
#[path = "../it/burst.rs"]
mod burst;
#[path = "../it/bytes.rs"]
mod bytes;
#[path = "../it/fleet.rs"]
mod fleet;
#[path = "../it/half_close.rs"]
mod half_close;
#[path = "../it/head.rs"]
mod head;
#[path = "../it/lifetime.rs"]
mod lifetime;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/room.rs"]
mod room;
#[path = "../it/stall.rs"]
mod stall;
#[path = "../it/stop.rs"]
mod stop;
#[path = "../it/tickets.rs"]
mod tickets;
