//! Publishes a second by the number in flight: of `PUBLISH` alone, of a minimal script that also counts and retains, and of
//! Tidecast.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidecast::{Event, Hub};
use tidecast_test::redis::RedisServer;
use tokio::task::JoinSet;

use crate::{benchmark::requests_per_second, hub_on, median};

const IN_FLIGHT: [usize; 3] = [1, 8, 64];

/// The least share of that script's rate that Tidecast must reach.
const BAR: f64 = 0.8;

/// A script that counts, retains and publishes, and does nothing else.
const MINIMAL: &str = "redis.call('HINCRBY', KEYS[1], 'o', 1) \
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'p', ARGV[1]) \
    return redis.call('PUBLISH', ARGV[2], ARGV[1])";

/// Returns rows of the table.
pub(crate) async fn measure(rounds: usize, time: Duration) -> Result<String> {
    let server = RedisServer::start(&[]);
    let hub = hub_on(&server)?;
    let data = "x".repeat(64);
    let payload = format!("{{\"data\":\"{data}\"}}");
    let reply = server.command(&["SCRIPT", "LOAD", MINIMAL]).context("no reply to SCRIPT LOAD")?;
    let script = reply.lines().nth(1).context("SCRIPT LOAD returned no hash")?;
    publish_for(&hub, 1, Duration::from_millis(200), &data).await?;

    let mut rates = [const { [const { Vec::new() }; IN_FLIGHT.len()] }; 3];
    for _ in 0..rounds {
        for (at, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            // A short run gives the rate, from which the number of requests of the measured run follows.
            for (row, command) in [
                vec!["PUBLISH", "peer", &payload],
                vec!["EVALSHA", script, "2", "peer:meta", "peer:events", &payload, "peer"],
            ]
            .iter()
            .enumerate()
            {
                let estimate = requests_per_second(&server, in_flight, 2_000, command)?;
                let requests = (estimate * time.as_secs_f64()) as usize;
                rates[row][at].push(requests_per_second(&server, in_flight, requests.max(1_000), command)?);
            }
            rates[2][at].push(publish_for(&hub, in_flight, time, &data).await?);
        }
    }
    hub.close();

    let medians = rates.map(|row| row.map(median));
    let names = ["`redis-benchmark` PUBLISH", "`redis-benchmark` EVALSHA: count, keep, PUBLISH", "Tidecast"];
    let mut table = String::new();
    for (name, row) in names.iter().zip(&medians) {
        table.push_str(&format!("| {name} | {:.0} | {:.0} | {:.0} |\n", row[0], row[1], row[2]));
    }
    for (name, peer) in ["ratio to PUBLISH", "ratio to that EVALSHA"].iter().zip(&medians) {
        let ratio = |at: usize| medians[2][at] / peer[at];
        table.push_str(&format!("| {name} | {:.2} | {:.2} | {:.2} |\n", ratio(0), ratio(1), ratio(2)));
    }
    let met = |at: usize| if medians[2][at] >= BAR * medians[1][at] { "met" } else { "**missed**" };
    table.push_str(&format!("| at least {BAR} of that EVALSHA | {} | {} | {} |\n", met(0), met(1), met(2)));
    Ok(table)
}

/// Publishes with this many in flight, and returns publishes a second.
async fn publish_for(hub: &Hub, in_flight: usize, time: Duration, data: &str) -> Result<f64> {
    let begun = Instant::now();
    let mut publishers = JoinSet::new();
    for _ in 0..in_flight {
        let (hub, data) = (hub.clone(), data.to_owned());
        publishers.spawn(async move {
            let mut published = 0_u64;
            while begun.elapsed() < time {
                hub.publish("tidecast", Event::text(data.as_str())).await?;
                published += 1;
            }
            Ok::<_, tidecast::Error>(published)
        });
    }
    let mut published = 0;
    while let Some(done) = publishers.join_next().await {
        published += done??;
    }
    Ok(published as f64 / begun.elapsed().as_secs_f64())
}
