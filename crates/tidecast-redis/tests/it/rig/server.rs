//! One real `redis-server` on a free port of the loopback interface, in a folder of its own, ended when it is dropped.

use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long anything that a test waits for may take, far beyond what it does take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    program: &'static str,
    options: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server that keeps nothing on disk, with more options as on its command line.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut server = Self::new("redis-server", free_port(), &[&["--save", ""], options].concat());
        server.run();
        server
    }

    /// A server that is not started yet: `redis-server` or `redis-sentinel`.
    pub(crate) fn new(program: &'static str, port: u16, options: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("tidecast-redis-{}-{number}", process::id()));
        fs::create_dir_all(&folder).expect("a folder for the server");
        let options = options.iter().map(ToString::to_string).collect();
        Self { port, folder, program, options, child: None }
    }

    /// Starts it, or starts it again on the same port with what it saved, and waits until it answers.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let child = Command::new(self.program)
            .args(self.command_line())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} can't be started ({error}): cargo xtask setup installs it", self.program)
            });
        self.child = Some(child);
        // `-LOADING` is an answer that is not `+PONG`, so this waits for the data too.
        let answers = || self.command(&["PING"]).is_some_and(|answer| answer.starts_with("+PONG"));
        assert!(wait_until(answers), "{} on port {} does not answer:\n{}", self.program, self.port, self.log());
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The folder in which it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process' id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Sends one command on a connection of its own; answers with the reply as it came, up to 64 KiB that arrive at once.
    pub(crate) fn command(&self, arguments: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            request.extend_from_slice(format!("${}\r\n{argument}\r\n", argument.len()).as_bytes());
        }
        stream.write_all(&request).ok()?;
        let mut reply = vec![0; 65_536];
        let len = stream.read(&mut reply).ok()?;
        Some(String::from_utf8_lossy(&reply[..len]).into_owned())
    }

    fn command_line(&self) -> Vec<String> {
        let port = self.port.to_string();
        // A sentinel's first argument is its file, which it rewrites; the rest are as a server's.
        let own: &[&str] = if self.program == "redis-sentinel" { &["sentinel.conf"] } else { &[] };
        let common = ["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no"];
        own.iter().chain(&common).map(ToString::to_string).chain(self.options.iter().cloned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Looks again and again whether something has come about; tells whether it did in time.
pub(crate) fn wait_until(mut come_about: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if come_about() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
