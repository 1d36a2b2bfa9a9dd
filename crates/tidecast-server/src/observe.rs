//! What the hub reports of itself: metrics, log lines, the access log, and what its commands print.

pub(crate) mod access_log;
pub(crate) mod log_writer;
pub(crate) mod metrics;
pub(crate) mod telemetry;
pub(crate) mod terminal;
