//! One real `redis-server` on a free port of the loopback interface, in a temporary folder, ended when it is dropped.

use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{free_port, wait_until};

/// A server, which may be stopped and started again on the same port.
#[derive(Debug)]
pub struct RedisServer {
    /// The port on 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
    program: &'static str,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk, with more options for its command line.
    pub fn start(options: &[&str]) -> Self {
        let mut server = Self::new("redis-server", free_port(), &[&["--save", ""], options].concat());
        server.run();
        server
    }

    /// Prepares a server without starting it. The program is `redis-server` or `redis-sentinel`.
    pub fn new(program: &'static str, port: u16, options: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("tidecast-redis-{}-{number}", process::id()));
        fs::create_dir_all(&folder).expect("a folder for the server");
        let options = options.iter().map(ToString::to_string).collect();
        Self { port, folder, program, options, child: None }
    }

    /// Starts the server, again if it was killed, and waits until it has loaded its data and replies.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "the server is running already");
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let child = Command::new(self.program)
            .args(self.command_line())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {} ({error}): `cargo xtask setup` installs it", self.program));
        self.child = Some(child);
        // The reply is `-LOADING` until the data are loaded.
        let replies = || self.command(&["PING"]).is_some_and(|reply| reply.starts_with("+PONG"));
        assert!(wait_until(replies), "{} on port {} does not reply:\n{}", self.program, self.port, self.log());
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Returns the folder with the server's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server is running").id()
    }

    /// Returns the URL of database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Returns the server's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Sends one command on a new connection and returns the reply as it is on the wire, up to 64 KiB that arrive at once.
    ///
    /// Returns `None` if the server cannot be reached or does not reply within five seconds.
    pub fn command(&self, arguments: &[&str]) -> Option<String> {
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
        // A Sentinel takes its configuration file first, then options as a server does.
        let own: &[&str] = if self.program == "redis-sentinel" { &["sentinel.conf"] } else { &[] };
        let common = ["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no"];
        own.iter().chain(&common).map(ToString::to_string).chain(self.options.iter().cloned()).collect()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
