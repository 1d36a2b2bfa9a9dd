//! Shows the progress on a terminal, in a line that is overwritten.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// Minimum time between two updates.
const EVERY: Duration = Duration::from_millis(100);

/// Width of the bar, in characters.
const WIDTH: u64 = 30;

/// The progress line.
#[derive(Debug)]
pub(super) struct ProgressLine {
    shown: bool,
    begun: Instant,
    written: Option<Instant>,
    bytes: u64,
    /// Size of standard input, if it is a file.
    of_bytes: Option<u64>,
}

impl ProgressLine {
    pub(super) fn new(wanted: bool) -> Self {
        let shown = wanted && io::stderr().is_terminal();
        let of_bytes = if shown { input_bytes() } else { None };
        Self { shown, begun: Instant::now(), written: None, bytes: 0, of_bytes }
    }

    /// Updates the line with the number of lines so far and the number of further bytes of input.
    pub(super) fn show(&mut self, lines: u64, bytes: u64) {
        self.bytes += bytes;
        if !self.shown || self.written.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.written = Some(Instant::now());
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rate = (lines as f64 / self.begun.elapsed().as_secs_f64().max(0.001)) as u64;
        let bar = self.of_bytes.map_or_else(String::new, |all| bar(self.bytes, all));
        let _ = write!(io::stderr(), "\r{bar}{lines} lines, {rate} a second\x1b[K");
    }

    /// Clears the line, before other output.
    pub(super) fn clear(&mut self) {
        if self.written.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(done: u64, all: u64) -> String {
    let done = done.min(all);
    let filled = usize::try_from(done * WIDTH / all.max(1)).unwrap_or_default();
    let width = usize::try_from(WIDTH).unwrap_or_default();
    format!("[{}{}] {:>3} %  ", "#".repeat(filled), ".".repeat(width - filled), done * 100 / all.max(1))
}

fn input_bytes() -> Option<u64> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0, 0), format!("[{}]   0 %  ", ".".repeat(30)));
        assert_eq!(bar(50, 100), format!("[{}{}]  50 %  ", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(200, 100), format!("[{}] 100 %  ", "#".repeat(30)));
    }
}
