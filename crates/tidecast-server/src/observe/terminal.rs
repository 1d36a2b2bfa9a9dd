//! Writes text for people to standard output and standard error, outside of the log. Either may be closed or blocked, and
//! `eprintln!` would panic, so the lints forbid it.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use anyhow::Context;

/// Maximum time to wait for an output that is blocked.
const STALLED_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes a line to standard error. A failure cannot be reported, and is ignored.
pub(crate) fn print_error(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes text to standard output. A closed pipe is not an error: `head` reads only the beginning.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("failed to print"),
        _ => Ok(()),
    }
}

/// Runs a function that writes, on a thread, and stops waiting for it if the output is blocked.
pub(crate) fn with_timeout(writes: impl FnOnce() + Send + 'static) {
    let (done, finished) = channel();
    let writing = move || {
        writes();
        let _ = done.send(());
    };
    if thread::Builder::new().name("output".to_owned()).spawn(writing).is_ok() {
        let _ = finished.recv_timeout(STALLED_OUTPUT_TIMEOUT);
    }
}
