//! What an event takes in Redis while it is kept.

use anyhow::{Context, Result};
use tidecast::Event;

use crate::{node, server::Server};

/// As many as a channel keeps by default, in one channel.
const EVENTS: usize = 10_000;

/// A row of the table, without its head.
pub(crate) async fn measure() -> Result<String> {
    let server = Server::start()?;
    let hub = node(&server)?;
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

fn used(server: &Server) -> Result<usize> {
    let info = server.ask(&["INFO", "memory"])?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).context("no used_memory")?;
    Ok(line.trim().parse()?)
}
