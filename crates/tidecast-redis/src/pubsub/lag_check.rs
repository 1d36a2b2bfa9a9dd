//! Checks whether idle channels are really quiet.
//!
//! A connection may be up and receive nothing, for example from a server that was cut off from the others. Nothing on the
//! connection shows it. A history that is ahead of what arrived does.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tidecast::{Channel, Position};
use tokio::time;

use crate::{
    error::CallError,
    pubsub::context::BrokerContext,
    pubsub::{
        connection::PubSubConnection,
        subscriptions::{BackfillTask, PubSubName, WorkerId},
    },
    scripts::{head_command, parse_head},
    supervise::FailPoint,
};

/// The most channels checked in one pipeline.
const CHANNELS_PER_BATCH: usize = 256;

/// How long an event in the history may be on its way from one node of a Cluster to another.
const PROPAGATION_MAX: Duration = Duration::from_secs(1);

/// Compares the heads of a worker's idle channels with their logs. Calls `backfill` for a channel without a head whose
/// epoch has grown old.
///
/// # Errors
///
/// Fails if the history is ahead and nothing of it arrives although all that was on its way has. The connection must then
/// be closed, which has every channel backfilled.
pub(crate) async fn check_lag(
    context: &Arc<BrokerContext>,
    worker: WorkerId,
    connection: &PubSubConnection,
    backfill: &impl Fn(BackfillTask),
) -> Result<(), CallError> {
    context.fail_points.trip(FailPoint::LagCheck);
    for channels in context.subscriptions.take_idle(worker).chunks(CHANNELS_PER_BATCH) {
        let behind = channels_behind(context, channels, backfill).await;
        if behind.is_empty() {
            continue;
        }
        time::sleep(PROPAGATION_MAX).await;
        // The answer follows all that the server sent before, which a busy machine may not have read yet.
        connection.ping().await?;
        // A channel on which something has arrived, or that is being backfilled for it, does receive.
        let is_missed = |(name, channel, head): &&(PubSubName, Channel, Position)| {
            context.subscriptions.is_idle(name) && !has_reached(context, channel, *head)
        };
        if let Some((_, channel, head)) = behind.iter().find(is_missed) {
            let log = context.subscriptions.deliveries().and_then(|deliveries| deliveries.position(channel));
            tracing::warn!(channel = channel.as_str(), %head, ?log, "redis: events are missing; reconnecting");
            return Err(CallError::unavailable(
                "the connection receives nothing: the history has events that did not arrive",
            ));
        }
    }
    Ok(())
}

/// Returns the channels whose history is ahead of this node's log, with its head. A channel whose head cannot be read is
/// left out.
async fn channels_behind(
    context: &BrokerContext,
    channels: &[(PubSubName, Channel)],
    backfill: &impl Fn(BackfillTask),
) -> Vec<(PubSubName, Channel, Position)> {
    let read_head = async |(name, channel): &(PubSubName, Channel)| {
        let keys = context.keys.channel(channel);
        let reply = context.commands.command(Some(&keys.meta), head_command(&keys), true).await.ok()?;
        let Some(head) = parse_head(reply).ok()? else {
            // The epochs of a channel without events expire, so the log is to have the newest.
            let lifetime = context.config.counter_age_max() / 8;
            context.subscriptions.backfill_if_older(name, lifetime).into_iter().for_each(backfill);
            return None;
        };
        Some((name.clone(), channel.clone(), head))
    };
    // Polled together, so that the commands share a pipeline.
    let heads = join_all(channels.iter().map(read_head)).await;
    heads.into_iter().flatten().filter(|(_, channel, head)| !has_reached(context, channel, *head)).collect()
}

/// Returns whether a channel's log is at a head or past it. A log that is not open has no readers to miss anything.
fn has_reached(context: &BrokerContext, channel: &Channel, head: Position) -> bool {
    let log = context.subscriptions.deliveries().and_then(|deliveries| deliveries.position(channel));
    log.is_none_or(|log| log.epoch == head.epoch && log.offset >= head.offset)
}
