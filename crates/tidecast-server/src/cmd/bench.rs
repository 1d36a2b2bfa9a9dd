//! `tidecast bench`: measures the delivery of a running hub.
//!
//! Subscribers follow a channel with a random name, events are published to it at a steady rate, and every delivery is timed
//! and counted. One process does it all, so the times include its own work.

mod measurements;
mod subscriber;

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant as At, sleep_until, timeout},
};

use self::measurements::Measurements;
use super::{
    client::{
        HubArguments,
        address::HubAddress,
        connection::{self, Expect, HubConnection, RequestBody, request},
        problem::HubProblem,
    },
    exit::{CommandExit, usage_error},
};
use crate::observe::terminal::print;

/// The arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Address of the hub in its former place, without `--url`
    #[arg(value_name = "URL", conflicts_with = "url", hide = true)]
    address: Option<HubAddress>,
    /// Number of subscribers
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// Number of events
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Events published per second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

/// The end of the help of `bench`.
pub(super) const AFTER_HELP: &str = "\
    It uses a channel with a random name, whose events it deletes at the end, and one connection per subscriber.\n\n\
    Exit status: 0 every subscriber received every event once; 1 some did not, or the hub could not be measured; 64 the \
    command line is invalid.";

/// Maximum number of deliveries of a run, because each is kept until the report.
const DELIVERIES_MAX: u64 = 10_000_000;

/// Number of subscribers that connect at the same time.
const CONNECT_AT_ONCE: usize = 50;

/// Maximum time to wait for the last deliveries.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the measurement, and prints the report.
pub(super) async fn run(arguments: BenchArguments) -> anyhow::Result<CommandExit> {
    let BenchArguments { mut hub, address, subscribers, events, rate } = arguments;
    hub.url = address.unwrap_or(hub.url);
    let deliveries = u64::from(subscribers) * u64::from(events);
    if deliveries > DELIVERIES_MAX {
        return usage_error(format!(
            "{deliveries} deliveries are too many; at most {DELIVERIES_MAX} can be measured in one run"
        ));
    }
    if let Err(error) = hub.check() {
        return usage_error(error);
    }
    let channel = format!("bench-{:016x}", fastrand::u64(..));

    let mut publisher = HubConnection::open(&hub).await?;
    let begun = Instant::now();
    let mut following = JoinSet::new();
    let mut opening = JoinSet::new();
    let mut opened_count = 0;
    while opened_count < subscribers || !opening.is_empty() {
        if opened_count < subscribers && opening.len() < CONNECT_AT_ONCE {
            opened_count += 1;
            opening.spawn(subscriber::open(hub.clone(), channel.clone()));
            continue;
        }
        if let Some(opened) = opening.join_next().await {
            following.spawn(opened??.receive(begun, events));
        }
    }
    print(&format!("{subscribers} subscribers, {events} events at {rate} a second:\n"))?;

    let started = Instant::now();
    let published = publish(&hub, &mut publisher, &channel, begun, events, rate).await;
    let publishing = started.elapsed();
    let mut measurements = Measurements::new(events);
    let collected = timeout(RECEIVE_TIMEOUT, async {
        while let Some(received) = following.join_next().await {
            measurements.add(received?);
        }
        anyhow::Ok(())
    })
    .await;
    // A subscriber that has not received everything by now has lost it; its deliveries are not counted.
    following.abort_all();
    let delete = request(&hub, Method::DELETE, &format!("/channels/{channel}"), RequestBody::new(Bytes::new()));
    let _ = publisher.ask(delete).await;
    published?;
    collected.unwrap_or(Ok(()))?;
    print(&measurements.report(subscribers, publishing).to_string())?;
    Ok(if measurements.is_clean(subscribers) { CommandExit::Done } else { CommandExit::Failed })
}

/// Publishes at the rate. After a slow response it catches up, so that slowness does not lower the rate unseen.
async fn publish(
    hub: &HubArguments,
    connection: &mut HubConnection,
    channel: &str,
    begun: Instant,
    events: u32,
    rate: u32,
) -> anyhow::Result<()> {
    let first = At::now();
    for number in 0..events {
        sleep_until(first + Duration::from_secs(1) * number / rate).await;
        let data = format!("{number} {}", begun.elapsed().as_nanos());
        let body = json!({ "channel": channel, "data": data }).to_string();
        let answer =
            connection.ask(connection::publish(hub, body, Expect::Nothing)).await.context("failed to publish")?;
        if answer.head.status != StatusCode::OK {
            anyhow::bail!("failed to publish: {}", HubProblem::from_response(&answer).advice());
        }
    }
    Ok(())
}
