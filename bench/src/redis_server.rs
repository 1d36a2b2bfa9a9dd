//! A real `redis-server` on a free port of the loopback interface, which keeps nothing on disk and is ended with this.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// See the module.
#[derive(Debug)]
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    pub(crate) child: Child,
}

impl RedisServer {
    pub(crate) fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { port, child: spawn(port)? })
    }

    /// Its address as programs are told it.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Asks for one command by `redis-cli`; answers with what it prints.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output()?;
        ensure!(output.status.success(), "redis-cli {arguments:?} fails");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one on this port, and waits until it listens.
pub(crate) fn spawn(port: u16) -> Result<Child> {
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
        .stdout(Stdio::null())
        .spawn()
        .context("redis-server can't be started: cargo xtask setup installs it")?;
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        ensure!(Instant::now() < until, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(child)
}
