//! The real hub: a process of its own, on a port that the system chooses, ended with the test.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::{Answer, BROWSER, Connection, DEADLINE, Source, Stream, eventually, request};

pub(crate) use rustix::process::Signal;

/// A running hub.
pub(crate) struct Hub {
    child: Child,
    pub(crate) address: SocketAddr,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    key: Option<String>,
}

impl Hub {
    /// Starts a hub with these arguments after `serve`, on a free port unless they say otherwise.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(&[], arguments)
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Self::command(arguments);
        command.envs(variables.iter().copied());
        Self::spawn(command, arguments)
    }

    /// The same with its standard error elsewhere.
    pub(crate) fn start_to(stderr: Stdio, arguments: &[&str]) -> Self {
        let mut command = Self::command(arguments);
        command.stderr(stderr);
        Self::spawn(command, arguments)
    }

    fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.spawn().expect("the hub starts");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let stderr = child.stderr.take();

        let said = Arc::new(Mutex::new(String::new()));
        let writer = said.clone();
        let reader = std::thread::spawn(move || {
            let lines = stderr.map(|stderr| BufReader::new(stderr).lines()).into_iter().flatten();
            for line in lines.map_while(Result::ok) {
                let mut said = writer.lock();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let (sender, first_line) = mpsc::channel();
        let announced = Arc::new(Mutex::new(String::new()));
        let writer = announced.clone();
        std::thread::spawn(move || {
            // To the end, so that whatever else it says never fills the pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut announced = writer.lock();
                announced.push_str(&line);
                announced.push('\n');
                let _ = sender.send(line);
            }
        });
        let line = first_line.recv_timeout(DEADLINE).unwrap_or_default();
        let address = address_in(&line);
        let key = arguments.iter().position(|argument| *argument == "--publish-key");
        let mut hub = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            stdout: announced,
            stderr: said,
            reader: Some(reader),
            key: key.map(|at| arguments[at + 1].to_owned()),
        };
        // Only now, so that a hub that did not start is ended and its words are shown.
        hub.address = address.unwrap_or_else(|| panic!("the hub did not say where it is, but {line:?}"));
        hub
    }

    /// The program's `serve` with its arguments, in an environment that says nothing to it.
    pub(crate) fn command(arguments: &[&str]) -> Command {
        let mut command = Self::program();
        command.arg("serve").args(crate::SERVE).args(arguments);
        command
    }

    /// The program without arguments, in an environment that says nothing to it.
    pub(crate) fn program() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if ["TIDECAST_", "SSE_REDIS_", "REDIS_URL"].iter().any(|start| shown.starts_with(start)) {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().clone()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().clone()
    }

    /// Sends a request on a connection of its own, and reads the answer.
    pub(crate) async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ask_raw(&request(self.address, method, target, headers, body), method).await
    }

    /// The same with a request that is written already.
    pub(crate) async fn ask_raw(&self, request: &[u8], method: &str) -> Answer {
        let mut connection = Connection::open(self.address).await;
        connection.send(request).await;
        connection.answer(method).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        let authorization = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
        self.ask("GET", target, &headers, b"").await
    }

    /// Publishes JSON, and answers with what the hub answered.
    pub(crate) async fn publish(&self, body: &str) -> Value {
        let answer = self.ask("POST", "/publish", &[("Content-Type", "application/json")], body.as_bytes()).await;
        assert_eq!(answer.head.status, 200, "{body}: {answer:?}");
        answer.json()
    }

    /// Opens a stream; the answer must be 200.
    pub(crate) async fn stream(&self, target: &str) -> Stream {
        Stream::open(self.address, target, BROWSER).await
    }

    /// An `EventSource` on an address, not yet connected.
    pub(crate) fn source(&self, target: &str) -> Source {
        Source::new(self.address, target)
    }

    /// A number of `/metrics`: its line's name with labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let scrape = self.get("/metrics").await.text();
        let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("no {name} in {scrape}"));
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// Waits until a number of `/metrics` is this.
    pub(crate) async fn until_metric(&self, name: &str, expected: u64) {
        eventually(&format!("{name} = {expected}"), async || self.metric(name).await == expected).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(pid, signal).expect("the hub can be signalled");
    }

    /// Waits for the end of the process; answers how it ended and how long that took.
    pub(crate) async fn ended(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let mut status = None;
        eventually("the end of the hub", async || {
            status = self.child.try_wait().expect("the hub is our child");
            status.is_some()
        })
        .await;
        (status.expect("it has ended"), begun.elapsed())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let stderr = self.stderr();
        if std::thread::panicking() {
            eprintln!("--- standard error of the hub:\n{stderr}---");
        } else {
            assert!(!stderr.contains("panicked"), "the hub panicked: {stderr}");
        }
    }
}

/// The address in `Tidecast VERSION is at http://ADDRESS/ …`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.strip_prefix("Tidecast ")?.split_once(" is at http://")?;
    rest.split_once('/')?.0.parse().ok()
}
