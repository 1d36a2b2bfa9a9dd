//! Measures publishing through Redis, and the same operations of Redis alone: `cargo xtask bench --redis`.
//!
//! Everything runs on one machine in alternating rounds, of which the medians count. `rates` publishes, `latency` measures
//! the time from one node to another, `restart` kills the server, and `memory` measures what events take.

mod benchmark;
mod latency;
mod memory;
mod rates;
mod restart;

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use tidecast::{Hub, Start, Subscription, wire::FirstBlock};
use tidecast_redis::{RedisBroker, RedisConfig};
use tidecast_test::redis::RedisServer;

/// The lines of the page that enclose the tables.
const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let page = arguments.iter().position(|argument| argument == "--write-docs").map(|at| arguments.get(at + 1));
    let rounds = if quick { 1 } else { 5 };
    let time = Duration::from_millis(if quick { 300 } else { 2_000 });

    let mut table = String::new();
    table.push_str("| publishes a second, 64 bytes of data | 1 in flight | 8 | 64 |\n|---|---|---|---|\n");
    table.push_str(&rates::measure(rounds, time).await?);
    table.push_str("\n| | p50 | p99 |\n|---|---|---|\n");
    table.push_str(&latency::measure(rounds, time).await?);
    table.push_str("\n| | median | longest |\n|---|---|---|\n");
    table.push_str(&restart::measure(if quick { 1 } else { 5 }).await?);
    table.push_str("\n| | bytes |\n|---|---|\n");
    table.push_str(&memory::measure().await?);
    print!("{table}");
    match page {
        None => Ok(()),
        Some(None) => bail!("--write-docs needs the path of a page"),
        Some(Some(page)) => write_between_markers(page, &table),
    }
}

/// Returns a hub on a server.
fn hub_on(server: &RedisServer) -> Result<Hub> {
    let config = RedisConfig::from_url(&server.url())?;
    Ok(Hub::builder().broker(std::sync::Arc::new(RedisBroker::new(config)?)).build())
}

/// Returns a live subscription that has a position, so that it misses no later event.
async fn subscribe(hub: &Hub, channel: &str) -> Result<Subscription> {
    let mut subscription = hub.subscribe([channel], Start::Live)?;
    while !subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(subscription)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn write_between_markers(page: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {page}"))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{page} has no line {BEGIN:?}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{page} has no line {END:?}"))?;
    Ok(fs::write(page, format!("{before}{BEGIN}{table}{END}{after}"))?)
}
