//! A real `redis-server` that is ended with this.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// See the module.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { port, child: spawn(port)? })
    }

    /// Ends it as a crash would, and starts it again.
    pub(crate) fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(self.port)?;
        Ok(())
    }

    /// Asks for one command by `redis-cli`; answers with what it prints.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(arguments).output()?;
        ensure!(output.status.success(), "redis-cli {arguments:?} fails");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Requests a second of `redis-benchmark`, with so many connections that each have one request in flight.
    pub(crate) fn benchmark(&self, connections: usize, requests: usize, command: &[&str]) -> Result<f64> {
        let output = Command::new("redis-benchmark")
            .args(["-p", &self.port.to_string(), "-c", &connections.to_string(), "-n", &requests.to_string(), "--csv"])
            .args(command)
            .output()
            .context("redis-benchmark can't be started")?;
        let text = String::from_utf8(output.stdout)?;
        // "test","rps","avg_latency_ms",… and a line of figures.
        let line = text.lines().last().unwrap_or_default();
        let rate =
            line.rsplit_once("\",\"").and_then(|_| line.split("\",\"").nth(1)).and_then(|rate| rate.parse().ok());
        rate.with_context(|| format!("redis-benchmark says {text:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16) -> Result<Child> {
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
        .stdout(Stdio::null())
        .spawn()
        .context("redis-server can't be started: cargo xtask setup installs it")?;
    let until = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        ensure!(Instant::now() < until, "redis-server does not listen");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(child)
}
