//! `tidecast bench`: a first figure of somebody's own set-up.
//!
//! Subscribers follow a channel that nobody else knows, events are published to it at a steady rate, and every delivery is
//! timed and counted. All in one process, so the figure includes what this program itself takes.

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
    Exit, HubArguments,
    client::{
        address::HubAddress,
        connection::{self, HubConnection, RequestBody, request},
        problem::HubProblem,
    },
    usage_error,
};

/// What `bench` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Where the hub is, as it was written before: without `--url`
    #[arg(value_name = "URL", conflicts_with = "url", hide = true)]
    address: Option<HubAddress>,
    /// How many follow the channel
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// How many events are published
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// How many events are published a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

/// What the help of `bench` ends with.
pub(crate) const AFTER_HELP: &str = "\
    It uses a channel of its own, whose events it deletes at the end, and as many connections as subscribers.\n\n\
    Exit status: 0 every event came once to everybody; 1 some did not, or the hub could not be measured; 64 the command \
    line can't be followed.";

/// Most deliveries of a run, because each is kept until it is counted.
const DELIVERIES_MAX: u64 = 10_000_000;

/// How many connect at once.
const CONNECT_AT_ONCE: usize = 50;

/// How long the last deliveries are waited for.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Measures.
pub(crate) async fn run(arguments: BenchArguments) -> anyhow::Result<Exit> {
    let BenchArguments { mut hub, address, subscribers, events, rate } = arguments;
    hub.url = address.unwrap_or(hub.url);
    let deliveries = u64::from(subscribers) * u64::from(events);
    if deliveries > DELIVERIES_MAX {
        return usage_error(format!("{deliveries} deliveries; at most {DELIVERIES_MAX} are measured at once"));
    }
    if let Err(mistake) = hub.check() {
        return usage_error(mistake);
    }
    let channel = format!("bench-{:016x}", fastrand::u64(..));

    let mut publisher = HubConnection::open(&hub).await?;
    let begun = Instant::now();
    let mut following = JoinSet::new();
    let mut opening = JoinSet::new();
    let mut asked = 0;
    while asked < subscribers || !opening.is_empty() {
        if asked < subscribers && opening.len() < CONNECT_AT_ONCE {
            asked += 1;
            opening.spawn(subscriber::open(hub.clone(), channel.clone()));
            continue;
        }
        if let Some(opened) = opening.join_next().await {
            following.spawn(opened??.receive(begun, events));
        }
    }
    crate::observe::terminal::print(&format!("{subscribers} subscribers, {events} events at {rate} a second:\n"))?;

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
    // Whoever has not got everything by now has lost it; what it did get is not counted.
    following.abort_all();
    let forget = request(&hub, Method::DELETE, &format!("/channels/{channel}"), RequestBody::new(Bytes::new()));
    let _ = publisher.ask(forget).await;
    published?;
    collected.unwrap_or(Ok(()))?;
    crate::observe::terminal::print(&measurements.report(subscribers, publishing).to_string())?;
    Ok(if measurements.is_clean(subscribers) { Exit::Done } else { Exit::Failed })
}

/// Publishes at the rate. Who falls behind catches up, so that a slow answer is not hidden by publishing less.
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
        let answer = connection.ask(connection::publish(hub, body, false)).await.context("failed to publish")?;
        if answer.head.status != StatusCode::OK {
            anyhow::bail!("failed to publish: {}", HubProblem::from_response(&answer).advice());
        }
    }
    Ok(())
}
