//! What the program says to people, outside of the log: on standard error and standard output, of which either may be gone
//! or full. `eprintln!` panics then, so the lints forbid it.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use anyhow::Context;

/// How long the last word waits for a standard error that nobody reads.
const STALLED_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes a line to standard error. Where that can't be written there is nobody to tell.
pub(crate) fn print_error(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a text to standard output. A reader that wants only its beginning, as `head` does, is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("failed to print"),
        _ => Ok(()),
    }
}

/// Runs something that writes, and goes on without it where nobody takes what it writes.
pub(crate) fn with_timeout(writes: impl FnOnce() + Send + 'static) {
    let (done, told) = channel();
    let writing = move || {
        writes();
        let _ = done.send(());
    };
    if thread::Builder::new().name("say".to_owned()).spawn(writing).is_ok() {
        let _ = told.recv_timeout(STALLED_OUTPUT_TIMEOUT);
    }
}
