//! Sets up logging: lines with a constant message and fields, which [`log_writer`](crate::observe::log_writer) writes to
//! standard error.

use std::{backtrace::Backtrace, io::IsTerminal, panic, sync::OnceLock, time::Duration};

use anyhow::Context;
use tidecast_serve::Supervisor;
use tracing_subscriber::EnvFilter;

use crate::{
    config::LogFormat,
    observe::{access_log, log_writer::LogWriter},
};

/// Maximum time to wait for the last lines when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static LOG: OnceLock<LogWriter> = OnceLock::new();

/// Starts to write log lines.
pub(crate) fn init(format: LogFormat, filter: &str, access_log: bool, tasks: &Supervisor) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(with_access_log(filter, access_log)).context("failed to parse the log filter")?;
    let colour = std::io::stderr().is_terminal();
    let log = LogWriter::start(std::io::stderr(), tasks.add("log")).context("failed to start the log thread")?;
    let log = LOG.get_or_init(|| log);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        // It would print internal errors, and panic if that fails.
        .log_internal_errors(false)
        .with_writer(log.clone());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    // The default hook would block on standard error.
    panic::set_hook(Box::new(|panicked| {
        let backtrace = Backtrace::capture();
        tracing::error!(%backtrace, "{panicked}");
    }));
    Ok(())
}

/// Adds the access log to a filter: on if the setting or the filter itself enables it, else off.
fn with_access_log(filter: &str, access_log: bool) -> String {
    match access_log {
        true => format!("{filter},{}=info", access_log::TARGET),
        false if filter.contains(access_log::TARGET) => filter.to_owned(),
        false => format!("{filter},{}=off", access_log::TARGET),
    }
}

/// Returns how many log lines were dropped since the start.
pub(crate) fn lines_dropped() -> u64 {
    LOG.get().map_or(0, LogWriter::dropped)
}

/// Waits until the last lines are written, or a time-out passes.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(FLUSH_TIMEOUT);
    }
}
