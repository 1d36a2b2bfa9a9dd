//! What is done with a Redis server beside asking it: it crashes, and is measured by itself.

use std::process::Command;

use anyhow::{Context, Result};

pub(crate) use crate::redis_server::RedisServer as Server;
use crate::redis_server::spawn;

impl Server {
    /// Ends it as a crash would, and starts it again.
    pub(crate) fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(self.port)?;
        Ok(())
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
