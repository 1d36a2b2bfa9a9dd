//! Output of the hub about itself: metrics, log lines, the access log, and text on the terminal.

pub(crate) mod access_log;
pub(crate) mod log_writer;
pub(crate) mod metrics;
pub(crate) mod telemetry;
pub(crate) mod terminal;
