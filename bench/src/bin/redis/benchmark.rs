//! `redis-benchmark`, which measures the server alone.

use std::process::Command;

use anyhow::{Context, Result};
use tidecast_test::redis::RedisServer;

/// Returns requests a second over this many connections, each with one request in flight.
pub(crate) fn requests_per_second(
    server: &RedisServer,
    connections: usize,
    requests: usize,
    command: &[&str],
) -> Result<f64> {
    let output = Command::new("redis-benchmark")
        .args(["-p", &server.port.to_string(), "-c", &connections.to_string(), "-n", &requests.to_string(), "--csv"])
        .args(command)
        .output()
        .context("cannot start redis-benchmark")?;
    let text = String::from_utf8(output.stdout)?;
    // "test","rps","avg_latency_ms",… and a line of figures.
    let line = text.lines().last().unwrap_or_default();
    let rate = line.split("\",\"").nth(1).and_then(|rate| rate.parse().ok());
    rate.with_context(|| format!("redis-benchmark printed {text:?}"))
}
