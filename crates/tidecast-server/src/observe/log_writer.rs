//! Writes log lines to standard error from a thread with a bounded queue, so that logging never blocks or panics.
//!
//! The queue holds [`LOG_LINES_MAX`] lines of at most [`LOG_LINE_BYTES_MAX`] bytes; longer ones are truncated. A line for
//! which the queue is full, or that cannot be written, is dropped and counted (`tidecast_log_lines_dropped_total`).

use std::{
    io,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::{AsFd, BorrowedFd},
    io::Errno,
};
use tidecast_serve::SupervisedTask;
use tracing_subscriber::fmt::MakeWriter;

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};

/// A handle on the queue, which can be cloned.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    queue: SyncSender<LogMessage>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum LogMessage {
    Line(Vec<u8>),
    /// Signals when all lines before it are written.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread, which writes to a descriptor.
    pub(crate) fn start(to: impl AsFd + Send + 'static, task: SupervisedTask) -> io::Result<Self> {
        let (queue, lines) = sync_channel(LOG_LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || task.run(|| write_all(&lines, to.as_fd(), &counter, &task)))?;
        Ok(Self { queue, dropped })
    }

    /// Returns the number of dropped lines.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all earlier lines are written, or the time-out passes.
    pub(crate) fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let (done, finished) = sync_channel(1);
        let mut message = LogMessage::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(1));
        }
        let _ = finished.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn put(&self, line: &[u8]) {
        let line = match line.split_at_checked(LOG_LINE_BYTES_MAX) {
            Some((beginning, rest)) if !rest.is_empty() => [beginning, b"...\n"].concat(),
            _ => line.to_vec(),
        };
        if self.queue.try_send(LogMessage::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Takes a whole line at a time, as the formatter writes them.
impl io::Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Writes lines until every handle is dropped.
fn write_all(
    lines: &Receiver<LogMessage>,
    to: BorrowedFd<'_>,
    dropped: &AtomicU64,
    task: &SupervisedTask,
) -> ControlFlow<()> {
    for message in lines {
        match message {
            LogMessage::Line(line) => {
                task.fault_point();
                if write(to, &line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            LogMessage::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
    ControlFlow::Break(())
}

/// Writes a line to a descriptor, which may be non-blocking because another process shares it.
fn write(to: BorrowedFd<'_>, mut line: &[u8]) -> Result<(), Errno> {
    while !line.is_empty() {
        match rustix::io::write(to, line) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => line = &line[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use tidecast_serve::Supervisor;

    /// A thread that logged panicked if the line could not be written, and blocked if nobody read the pipe.
    #[test]
    fn logging_neither_blocks_nor_fails() {
        // The pipe is closed.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let log = LogWriter::start(writer, Supervisor::default().add("log")).unwrap();
        for _ in 0..10 {
            (&log).write_all(b"a line\n").unwrap();
        }
        log.flush(Duration::from_secs(30));
        assert_eq!(log.dropped(), 10);

        // Nothing reads the pipe yet: lines beyond its capacity and that of the queue are dropped and counted.
        let (mut reader, writer) = io::pipe().unwrap();
        let log = LogWriter::start(writer, Supervisor::default().add("log")).unwrap();
        let long = [&vec![b'x'; 2 * LOG_LINE_BYTES_MAX][..], b"\n"].concat();
        let lines = 2 * LOG_LINES_MAX;
        for _ in 0..lines {
            (&log).write_all(&long).unwrap();
        }
        let dropped = log.dropped() as usize;
        assert!((lines / 2 - 64..lines).contains(&dropped), "{dropped}");
        log.flush(Duration::from_millis(1));
        let mut written = Vec::new();
        let reading = thread::spawn(move || reader.read_to_end(&mut written).map(|_| written));
        log.flush(Duration::from_secs(30));
        drop(log);
        let written = reading.join().unwrap().unwrap();
        assert_eq!(
            written.iter().filter(|byte| **byte == b'\n').count(),
            lines - dropped,
            "a line is complete or missing"
        );
    }

    /// A line of exactly the maximum length was marked as truncated.
    #[test]
    fn only_a_line_that_is_too_long_is_truncated() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = LogWriter::start(writer, Supervisor::default().add("log")).unwrap();
        let line = |bytes: usize| [&vec![b'x'; bytes - 1][..], b"\n"].concat();
        let (whole, long) = (line(LOG_LINE_BYTES_MAX), line(LOG_LINE_BYTES_MAX + 1));
        // The pipe may not hold both lines.
        let writing = thread::spawn(move || {
            for line in [&whole, &long] {
                (&log).write_all(line).unwrap();
            }
            log.flush(Duration::from_secs(30));
        });
        let mut written = String::new();
        reader.read_to_string(&mut written).unwrap();
        writing.join().unwrap();
        let lines: Vec<_> = written.lines().map(|line| (line.len(), line.ends_with("..."))).collect();
        assert_eq!(lines, [(LOG_LINE_BYTES_MAX - 1, false), (LOG_LINE_BYTES_MAX + 3, true)]);
    }

    #[test]
    fn the_thread_is_restarted_after_a_panic() {
        let (mut reader, writer) = io::pipe().unwrap();
        let tasks = Supervisor::default();
        let log = LogWriter::start(writer, tasks.add("log")).unwrap();
        tasks.kill("log");
        tasks.revive("log");
        for line in ["the line at which it panics\n", "the next\n"] {
            (&log).write_all(line.as_bytes()).unwrap();
        }
        log.flush(Duration::from_secs(30));
        assert_eq!((tasks.restarts(), tasks.missing()), (1, vec![]));
        drop(log);
        let mut written = String::new();
        reader.read_to_string(&mut written).unwrap();
        assert_eq!(written, "the next\n");
    }
}
