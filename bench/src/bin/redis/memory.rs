//! The memory that a retained event takes in Redis.

use anyhow::{Context, Result};
use tidecast::Event;

use tidecast_test::redis::RedisServer;

use crate::hub_on;

/// As many as a channel retains by default.
const EVENTS: usize = 10_000;

/// Returns a row of the table.
pub(crate) async fn measure() -> Result<String> {
    let server = RedisServer::start(&[]);
    let hub = hub_on(&server)?;
    let data = "x".repeat(64);
    hub.publish("memory", Event::text(data.as_str())).await?;
    let before = used(&server)?;
    for _ in 0..EVENTS {
        hub.publish("memory", Event::text(data.as_str())).await?;
    }
    let bytes = used(&server)?.saturating_sub(before) / EVENTS;
    hub.close();
    Ok(format!("| memory of Redis for one event with 64 bytes of data, among 10,000 | {bytes} |\n"))
}

fn used(server: &RedisServer) -> Result<usize> {
    let info = server.command(&["INFO", "memory"]).context("no reply to INFO")?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).context("no used_memory")?;
    Ok(line.trim().parse()?)
}
