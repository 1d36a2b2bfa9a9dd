//! The fixed limits of a server, and what happens when each is reached.
//!
//! The limits that a program chooses are in [`ServeOptions`](crate::ServeOptions).

use std::time::Duration;

/// Most connections that wait to be accepted. With the usual 128, some clients of a burst retry after a second.
pub const BACKLOG: i32 = 4_096;

/// Most reactors. Each is a thread.
pub const REACTORS_MAX: usize = 1_024;

/// Most bytes that hyper buffers for reading, and for writing, on one connection.
pub const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;

/// Most bytes that a client may send after its request for a stream, whose response says `Connection: close`. The
/// connection of a client that sends more is cut.
pub const STREAM_INPUT_BYTES_MAX: usize = 16 * 1024;

/// How long an idle connection stays open although others wait for its slot, from its accept or its last response: its
/// next request may be under way. Waiting clients wait at least as long for a slot.
pub const IDLE_GRACE: Duration = Duration::from_millis(250);

/// How long the kernel tries to reach a client that acknowledges nothing.
pub const USER_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a client may acknowledge no byte after its stream's lifetime, at most
/// [`stall_timeout`](crate::ServeOptions::stall_timeout). Then its connection is cut. A client that reads 8 KB/s may
/// acknowledge nothing for 16 s: its kernel opens a full receive buffer of 128 KiB again only once it is nearly empty.
pub const EXPIRED_STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client has to close its side after the end of its stream was written. Then its connection is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two log lines on the same kind of event.
pub const LOG_INTERVAL: Duration = Duration::from_secs(10);
