//! Publishes a second, with so many in flight: `PUBLISH` alone, the least script that also counts and keeps, and ours.

use std::time::{Duration, Instant};

use anyhow::Result;
use tidecast::{Event, Hub};
use tokio::task::JoinSet;

use crate::{median, node, server::Server};

const IN_FLIGHT: [usize; 3] = [1, 8, 64];

/// What any publish that counts, keeps and sends must do, and nothing else.
const LEAST: &str = "redis.call('HINCRBY', KEYS[1], 'o', 1) \
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'p', ARGV[1]) \
    return redis.call('PUBLISH', ARGV[2], ARGV[1])";

/// Rows of the table, without their head.
pub(crate) async fn measure(rounds: usize, time: Duration) -> Result<String> {
    let server = Server::start()?;
    let hub = node(&server)?;
    let data = "x".repeat(64);
    let payload = format!("{{\"data\":\"{data}\"}}");
    let script = server.ask(&["SCRIPT", "LOAD", LEAST])?;
    publish_for(&hub, 1, Duration::from_millis(200), &data).await?;

    let mut rates = [const { [const { Vec::new() }; IN_FLIGHT.len()] }; 3];
    for _ in 0..rounds {
        for (at, in_flight) in IN_FLIGHT.into_iter().enumerate() {
            // About as long as the rest: the first guess is small, the second as long as it is to take.
            for (row, command) in [
                vec!["PUBLISH", "peer", &payload],
                vec!["EVALSHA", &script, "2", "peer:meta", "peer:events", &payload, "peer"],
            ]
            .iter()
            .enumerate()
            {
                let guess = server.benchmark(in_flight, 2_000, command)?;
                let requests = (guess * time.as_secs_f64()) as usize;
                rates[row][at].push(server.benchmark(in_flight, requests.max(1_000), command)?);
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
    Ok(table)
}

/// Publishes with so many in flight, each after the answer to the one before; answers with how many a second.
async fn publish_for(hub: &Hub, in_flight: usize, time: Duration, data: &str) -> Result<f64> {
    let begun = Instant::now();
    let mut publishers = JoinSet::new();
    for _ in 0..in_flight {
        let (hub, data) = (hub.clone(), data.to_owned());
        publishers.spawn(async move {
            let mut published = 0_u64;
            while begun.elapsed() < time {
                hub.publish("ours", Event::text(data.as_str())).await?;
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
