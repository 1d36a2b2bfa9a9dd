//! Log lines: a constant message and fields, on standard error.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// The variable that chooses which lines are written, such as `debug` or `tidecast=trace`. Default `info`.
const FILTER_VARIABLE: &str = "TIDECAST_LOG";

/// Begins to write log lines.
pub(crate) fn init(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("failed to read {FILTER_VARIABLE}={text}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    let colour = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
