//! The time from a crash of Redis, which is started again at once, to the first event on another node.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tidecast::{Delivery, Event};
use tidecast_test::redis::RedisServer;
use tokio::time;

use crate::{hub_on, median, subscribe};

/// Returns a row of the table.
pub(crate) async fn measure(times: usize) -> Result<String> {
    let mut took = Vec::new();
    for _ in 0..times {
        let mut server = RedisServer::start(&[]);
        let (here, there) = (hub_on(&server)?, hub_on(&server)?);
        let mut reader = subscribe(&there, "restart").await?;
        publish(&here, "before").await;
        until(&mut reader, "before").await?;
        let begun = Instant::now();
        server.kill();
        server.run();
        publish(&here, "after").await;
        until(&mut reader, "after").await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        here.close();
        there.close();
    }
    let longest = took.iter().copied().fold(0.0, f64::max);
    let row = "`kill -9` of Redis, started again at once → first event on another node";
    Ok(format!("| {row} | {:.0} ms | {longest:.0} ms |\n", median(took)))
}

/// Publishes until the event is accepted.
async fn publish(hub: &tidecast::Hub, data: &str) {
    while hub.publish("restart", Event::text(data)).await.is_err() {
        time::sleep(Duration::from_millis(2)).await;
    }
}

async fn until(reader: &mut tidecast::Subscription, data: &str) -> Result<()> {
    loop {
        match time::timeout(Duration::from_secs(60), reader.next()).await? {
            Some(Delivery::Event(delivered)) if delivered.frame.message().data == data => return Ok(()),
            Some(_) => {}
            None => bail!("the hub is closed"),
        }
    }
}
