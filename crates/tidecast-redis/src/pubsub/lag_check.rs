//! Comparing: whether channels on which nothing arrives are really silent.
//!
//! A connection may stand and be deaf: to a server that was cut off from the others, say. Nothing on the connection tells
//! so; that the history is ahead of what arrived does. An ear does this beside all else, now and then.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tidecast::{Channel, Position};
use tokio::time;

use crate::{
    context::BrokerContext,
    error::CallError,
    pubsub::connection::PubSubConnection,
    pubsub::subscriptions::Name,
    pubsub::worker::PubSubWorker,
    scripts::{head, parse_head},
    supervise::FailPoint,
};

/// Most channels that are asked about in one pipeline.
const CHANNELS_AT_ONCE: usize = 256;

/// How long what the history has may be on its way from one node of a Cluster to another.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Compares the heads of the ear's silent channels. Where the history is ahead, and nothing of it arrives though all that
/// was on its way has, the ear is deaf: an error, which ends the connection, so that all is filled.
pub(crate) async fn lag_check(
    context: &Arc<BrokerContext>,
    worker: &PubSubWorker,
    connection: &PubSubConnection,
) -> Result<(), CallError> {
    context.fail_points.trip(FailPoint::LagCheck);
    for channels in context.subscriptions.idle(worker.id).chunks(CHANNELS_AT_ONCE) {
        let behind = behind(context, worker, channels).await;
        if behind.is_empty() {
            continue;
        }
        time::sleep(ON_ITS_WAY).await;
        // Its answer comes after whatever the server has sent before: on a busy machine that may not have been read yet.
        connection.ping().await?;
        // One on which something has arrived, or that is being filled for it, is heard.
        let still = |(name, channel, head): &&(Name, Channel, Position)| {
            context.subscriptions.is_idle(name) && !is_there(context, channel, *head)
        };
        if let Some((_, channel, head)) = behind.iter().find(still) {
            let here = context.subscriptions.deliveries().and_then(|deliveries| deliveries.position(channel));
            tracing::warn!(channel = channel.as_str(), %head, ?here, "redis: events did not arrive");
            return Err(CallError::unavailable(
                "the connection is deaf: events are in the history that did not arrive",
            ));
        }
    }
    Ok(())
}

/// The channels whose history is ahead of this node's log. What can't be asked about is not.
async fn behind(
    context: &BrokerContext,
    worker: &PubSubWorker,
    channels: &[(Name, Channel)],
) -> Vec<(Name, Channel, Position)> {
    let ask = async |(name, channel): &(Name, Channel)| {
        let keys = context.keys.channel(channel);
        let reply = context.commands.command(Some(&keys.meta), head(&keys), true).await.ok()?;
        let Some(head) = parse_head(reply).ok()? else {
            // What a silent channel is known by grows old: the log is to have the newest.
            let eighth = context.config.counter_age_max() / 8;
            context.subscriptions.backfill_if_older(name, eighth).into_iter().for_each(|fill| worker.fill(fill));
            return None;
        };
        Some((name.clone(), channel.clone(), head))
    };
    // Asked for at once, and so in one pipeline.
    let heads = join_all(channels.iter().map(ask)).await;
    heads.into_iter().flatten().filter(|(_, channel, head)| !is_there(context, channel, *head)).collect()
}

fn is_there(context: &BrokerContext, channel: &Channel, head: Position) -> bool {
    let here = context.subscriptions.deliveries().and_then(|deliveries| deliveries.position(channel));
    // One that is no longer read is no matter.
    here.is_none_or(|here| here.epoch == head.epoch && here.offset >= head.offset)
}
