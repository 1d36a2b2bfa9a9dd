//! Log lines on their way to standard error: through a bounded queue and a thread of its own, so that whoever logs neither
//! waits nor panics, whatever became of standard error.
//!
//! The bounds are in [`bounds`](crate::limits): so many lines wait, each so long. A line that finds no room, and one that
//! can't be written, is dropped and counted (`tidecast_log_lines_dropped_total`); a longer line is cut.

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

/// A handle on the queue.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Asks to be told when everything before it is written.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread that writes to a descriptor.
    pub(crate) fn start(to: impl AsFd + Send + 'static, task: SupervisedTask) -> io::Result<Self> {
        let (queue, lines) = sync_channel(LOG_LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || task.run(|| write_all(&lines, to.as_fd(), &counter, &task)))?;
        Ok(Self { queue, dropped })
    }

    /// Returns how many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was logged is written, or for so long.
    pub(crate) fn flush(&self, timeout_after: Duration) {
        let deadline = Instant::now() + timeout_after;
        let (done, told) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(1));
        }
        let _ = told.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn put(&self, line: &[u8]) {
        let line = match line.split_at_checked(LOG_LINE_BYTES_MAX) {
            Some((beginning, rest)) if !rest.is_empty() => [beginning, b"...\n"].concat(),
            _ => line.to_vec(),
        };
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A line at a time, which is how they are formatted.
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

/// Writes what comes, until nobody can log any more.
fn write_all(
    lines: &Receiver<Message>,
    to: BorrowedFd<'_>,
    dropped: &AtomicU64,
    task: &SupervisedTask,
) -> ControlFlow<()> {
    for message in lines {
        match message {
            Message::Line(line) => {
                task.fault_point();
                if write(to, &line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
    ControlFlow::Break(())
}

/// Writes a line to a descriptor that may be one that does not block, as others share it.
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

    /// A line that could not be written had the thread that logged it panic; a pipe that nobody reads had it wait.
    #[test]
    fn nobody_waits_or_fails_whatever_becomes_of_the_descriptor() {
        // Nobody reads any more.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let log = LogWriter::start(writer, Supervisor::default().add("log")).unwrap();
        for _ in 0..10 {
            (&log).write_all(b"a line\n").unwrap();
        }
        log.flush(Duration::from_secs(30));
        assert_eq!(log.dropped(), 10);

        // Nobody reads yet: all but what the pipe and the queue have room for is dropped, and counted.
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
            "a line is whole or missing"
        );
    }

    /// A line that is exactly as long as one may be was marked as cut.
    #[test]
    fn only_a_line_that_is_too_long_is_cut() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = LogWriter::start(writer, Supervisor::default().add("log")).unwrap();
        let line = |bytes: usize| [&vec![b'x'; bytes - 1][..], b"\n"].concat();
        let (whole, long) = (line(LOG_LINE_BYTES_MAX), line(LOG_LINE_BYTES_MAX + 1));
        // The pipe may have less room than both.
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
    fn its_thread_is_started_again() {
        let (mut reader, writer) = io::pipe().unwrap();
        let tasks = Supervisor::default();
        let log = LogWriter::start(writer, tasks.add("log")).unwrap();
        tasks.kill("log");
        tasks.revive("log");
        for line in ["the one that it fails at\n", "the next\n"] {
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
