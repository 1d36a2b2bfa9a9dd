//! A process whose output is collected, killed when it is dropped.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdin, Command, ExitStatus},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::wait_for;

/// A process that may still be running.
///
/// If its standard error has a panic, dropping it fails the test.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// The end of a process.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output without the last line end.
    pub stdout: String,
    /// Its standard error without the last line end.
    pub stderr: String,
}

impl Process {
    /// Starts a process and collects those of its outputs that are pipes.
    pub fn start(command: &mut Command) -> Self {
        Self::watch(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// Collects the outputs of a process that was started already, except for a pipe that the test has taken.
    pub fn watch(mut child: Child) -> Self {
        let stdout = child.stdout.take().map(Output::collect).unwrap_or_default();
        let stderr = child.stderr.take().map(Output::collect).unwrap_or_default();
        Self { child, stdout, stderr }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the standard input, which must be a pipe.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input is a pipe")
    }

    /// Returns the complete lines of standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text.lock().clone()
    }

    /// Returns the complete lines of standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text.lock().clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.id(), signal);
    }

    /// Returns how the process ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child's state can be read")
    }

    /// Waits for the end of the process and of its output.
    pub fn finish(mut self) -> Finished {
        let status = wait_for("end of the process", || self.try_wait());
        self.join_readers();
        let text = |text: String| text.strip_suffix('\n').map(str::to_owned).unwrap_or(text);
        Finished { status, stdout: text(self.stdout()), stderr: text(self.stderr()) }
    }

    fn join_readers(&mut self) {
        for output in [&mut self.stdout, &mut self.stderr] {
            if let Some(reader) = output.reader.take() {
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
        let stderr = self.stderr();
        if thread::panicking() {
            eprintln!("--- standard error of process {}:\n{stderr}---", self.id());
        } else {
            assert!(!stderr.contains("panicked"), "the process panicked: {stderr}");
        }
    }
}

impl Finished {
    /// Checks the exit status.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        self
    }
}

/// The lines of one output of a process, and the thread that reads them.
#[derive(Debug, Default)]
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn collect(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let lines = text.clone();
        let reader = thread::spawn(move || {
            // To the end, so that the process never waits for room in the pipe.
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut lines = lines.lock();
                lines.push_str(&line);
                lines.push('\n');
            }
        });
        Self { text, reader: Some(reader) }
    }
}

/// Sends a signal to a process that this one started.
pub(crate) fn send_signal(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id is positive");
    kill_process(pid, signal).expect("a running child can be signalled");
}
