//! The limits of the hub that are not settings. Those of the engine are in `tidecast::limits`.

use std::time::Duration;

/// Open files that are reserved for other uses than connections of clients: the listener, the runtimes, Redis, logs. Of a
/// small limit a quarter is reserved.
pub(crate) const FILES_KEPT: usize = 256;

/// Files that the hub opens for itself, and for each core. It does not start with fewer.
pub(crate) const FILES_NEEDED: usize = 32;
pub(crate) const FILES_NEEDED_PER_CORE: usize = 6;

/// Limit of open files below which the hub logs a warning.
pub(crate) const FILES_WARNED_BELOW: usize = 1_024;

/// Connections that are reserved for requests other than streams. Of a small number a third is reserved.
pub(crate) const CONNECTIONS_KEPT: usize = 256;

/// Maximum size of a request body, in bytes. A larger one gets 413.
pub(crate) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Maximum number of bytes that are drained from a refused body, so that its sender can read the response.
pub(crate) const REFUSED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Maximum size of a ticket, in bytes. One for 64 channels with the longest names fits. A larger one gets 401.
pub(crate) const TICKET_BYTES_MAX: usize = 32 * 1024;

/// Maximum number of events in one publish.
pub(crate) const BATCH_MAX: usize = 1_000;

/// Maximum number of channels in a page of `/channels`.
pub(crate) const PAGE_MAX: usize = 1_000;

/// Time that a new connection has to send its first request if the hub stops meanwhile.
pub(crate) const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(500);

/// Maximum number of log lines that wait to be written. Further ones are dropped and counted.
pub(crate) const LOG_LINES_MAX: usize = 1_024;

/// Maximum length of a log line, in bytes. A longer one is truncated.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 8 * 1024;

/// Number of wrong keys of one address within [`GUESS_WINDOW`] that are answered at once. Further ones get a delayed 429.
pub(crate) const GUESSES_MAX: u32 = 10;

/// Time for which the wrong keys of an address are counted, from the first one.
pub(crate) const GUESS_WINDOW: Duration = Duration::from_secs(60);

/// Maximum number of addresses whose wrong keys are counted. A newer one replaces an older one.
pub(crate) const GUESS_ADDRESSES_MAX: usize = 4_096;

/// Delay of the response to a wrong key beyond [`GUESSES_MAX`].
pub(crate) const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Maximum number of responses that are delayed at the same time, because each holds a connection. Further ones are sent at
/// once.
pub(crate) const DELAYED_REFUSALS_MAX: usize = 64;

/// Minimum length of a secret that signs tickets, in bytes. A shorter one could be found offline from a ticket.
pub(crate) const TICKET_SECRET_BYTES_MIN: usize = 32;
