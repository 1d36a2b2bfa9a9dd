//! The time from a publish on one node to its arrival on another, at a thousand events a second.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tidecast::{Delivery, Event};
use tidecast_test::redis::RedisServer;
use tokio::time;

use crate::{hub_on, median, subscribe};

const EVERY: Duration = Duration::from_millis(1);

/// Returns a row of the table.
pub(crate) async fn measure(rounds: usize, time: Duration) -> Result<String> {
    let server = RedisServer::start(&[]);
    let (here, there) = (hub_on(&server)?, hub_on(&server)?);
    let mut reader = subscribe(&there, "latency").await?;
    let begun = Instant::now();
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let count = (time.as_millis() / EVERY.as_millis()) as usize;
        let publishing = {
            let here = here.clone();
            tokio::spawn(async move {
                let mut tick = time::interval(EVERY);
                for _ in 0..count {
                    tick.tick().await;
                    let now = begun.elapsed().as_nanos().to_string();
                    here.publish("latency", Event::text(now)).await?;
                }
                Ok::<_, tidecast::Error>(())
            })
        };
        let mut latencies = Vec::with_capacity(count);
        while latencies.len() < count {
            let Some(Delivery::Event(delivered)) = reader.next().await else { bail!("an event was lost") };
            let sent: u128 = delivered.frame.message().data.parse()?;
            latencies.push((begun.elapsed().as_nanos() - sent) as f64 / 1e3);
        }
        publishing.await??;
        latencies.sort_by(f64::total_cmp);
        p50.push(latencies[latencies.len() / 2]);
        p99.push(latencies[latencies.len() * 99 / 100]);
    }
    here.close();
    there.close();
    Ok(format!(
        "| publish on one node → received on another, 1,000/s | {:.0} µs | {:.0} µs |\n",
        median(p50),
        median(p99)
    ))
}
