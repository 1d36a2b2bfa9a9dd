//! A process of the program, ended with the test by its own id, and a hub among them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::{DEADLINE, eventually};

/// The program with its arguments, in an environment that says nothing to it.
pub(crate) fn tidecast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if ["TIDECAST_", "SSE_REDIS_", "REDIS_URL"].iter().any(|start| shown.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a process says, line by line as it comes.
type Said = Arc<Mutex<Vec<String>>>;

/// A running process.
pub(crate) struct Process {
    child: Child,
    stdout: Said,
    stderr: Said,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command.spawn().expect("the program starts"))
    }

    /// Watches over a process that was started already, of which the test may read one of the pipes itself.
    pub(crate) fn start_with(mut child: Child) -> Self {
        let (stdout, stderr) = (Said::default(), Said::default());
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(read(pipe, stdout.clone()));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(read(pipe, stderr.clone()));
        }
        Self { child, stdout, stderr, readers }
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input is a pipe")
    }

    /// How many lines of standard output there are.
    pub(crate) fn lines(&self) -> usize {
        self.stdout.lock().len()
    }

    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(pid, signal).expect("the process can be signalled");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> End {
        let status = eventually("end of the process", || self.child.try_wait().expect("it is our child"));
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        End { status, stdout: self.stdout().join("\n"), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- standard error of process {}:\n{}\n---", self.child.id(), self.stderr());
        }
    }
}

impl End {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }
}

fn read(pipe: impl Read + Send + 'static, said: Said) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            said.lock().push(line);
        }
    })
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> End {
    Process::start(&mut tidecast(arguments)).end()
}

/// Runs a command to its end, with a standard input.
pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> End {
    let mut process = Process::start(tidecast(arguments).stdin(Stdio::piped()));
    // Whoever refuses its arguments does not read.
    let _ = process.stdin().write_all(input);
    process.end()
}

/// A running hub.
pub(crate) struct Hub {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Hub {
    /// Starts a hub on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    fn start_at(listen: &str, arguments: &[&str]) -> Self {
        let process = Process::start(tidecast(&["serve", "--listen", listen]).args(arguments));
        let address = eventually("address of the hub", || {
            let line = process.stdout().into_iter().next()?;
            let (_, rest) = line.split_once(" is at http://")?;
            rest.split_once('/')?.0.parse().ok()
        });
        Self { process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it by a signal, and starts another in its place.
    pub(crate) fn restart(self, signal: Signal) -> Self {
        self.process.signal(signal);
        let address = self.address.to_string();
        self.process.end();
        Self::start_at(&address, &[])
    }

    /// Waits until so many follow a channel.
    pub(crate) fn until_followed(&self, channel: &str, subscribers: u64) {
        eventually("subscribers", || {
            let shown = self.get(&format!("/channels/{channel}"));
            (shown["subscribers"].as_u64() == Some(subscribers)).then_some(())
        });
    }

    /// An answer's body as JSON; `null` where there is none.
    pub(crate) fn get(&self, target: &str) -> Value {
        let mut socket = TcpStream::connect(self.address).expect("the hub listens");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        // Of HTTP/1.0, so that no answer comes in chunks.
        let request = format!("GET {target} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        socket.write_all(request.as_bytes()).expect("the hub reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("the hub answers");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_default()
    }
}
