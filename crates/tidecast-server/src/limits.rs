//! The bounds of the hub that are no knob: what they are, and what happens at them.
//!
//! Those of the engine are in `tidecast::limits`, and those that an operator may set in [`config`](crate::config).

use std::time::Duration;

/// Open files that are no client's connection, if the limit allows: the listener, the runtimes' own, Redis, logs. Of a
/// small limit a quarter is kept.
pub(crate) const FILES_KEPT: usize = 256;

/// What the hub opens for itself, and for each core: it does not start with less.
pub(crate) const FILES_NEEDED: usize = 32;
pub(crate) const FILES_NEEDED_PER_CORE: usize = 6;

/// A limit of open files below this is warned of.
pub(crate) const FILES_WARNED_BELOW: usize = 1_024;

/// Connections that are no stream, so that there is always room to publish and to look. Of few connections a third.
pub(crate) const CONNECTIONS_KEPT: usize = 256;

/// Longest body of a request, in bytes. A longer one is a 413.
pub(crate) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How much of a body that was refused is still read, so that its sender gets to see the answer.
pub(crate) const REFUSED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest ticket, in bytes: one for 64 channels with the longest of names fits. A longer one is a 401.
pub(crate) const TICKET_BYTES_MAX: usize = 32 * 1024;

/// Most events of one publish.
pub(crate) const BATCH_MAX: usize = 1_000;

/// Most channels of one page of `/channels`.
pub(crate) const PAGE_MAX: usize = 1_000;

/// How long after it was accepted a connection may send its first request to a hub that stops meanwhile.
pub(crate) const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(500);

/// Most log lines that wait to be written. At it lines are dropped, and counted.
pub(crate) const LOG_LINES_MAX: usize = 1_024;

/// Longest log line, in bytes. What is longer is cut.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 8 * 1024;

/// Wrong keys of one address that are answered at once, within [`GUESS_WINDOW`]. Each further one is answered late, by 429.
pub(crate) const GUESSES_MAX: u32 = 10;

/// How long wrong keys of an address are counted, from the first one on.
pub(crate) const GUESS_WINDOW: Duration = Duration::from_secs(60);

/// Most addresses whose wrong keys are counted; at it a newer one takes the place of an older one.
pub(crate) const GUESS_ADDRESSES_MAX: usize = 4_096;

/// How late a wrong key is answered that is one too many.
pub(crate) const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Most answers that are late at one time, as each holds a connection; beyond it they come at once.
pub(crate) const DELAYED_REFUSALS_MAX: usize = 64;

/// Shortest secret that tickets may be signed with, in bytes: who sees a ticket can try shorter ones on a machine of its own.
pub(crate) const TICKET_SECRET_BYTES_MIN: usize = 32;
