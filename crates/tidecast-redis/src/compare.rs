//! Comparing: whether channels on which nothing arrives are really silent.
//!
//! A connection may stand and be deaf: to a server that was cut off from the others, say. Nothing on the connection tells
//! so; that the history is ahead of what arrived does.

use std::sync::Arc;

use tidecast::{Channel, Position};
use tokio::time;

use crate::{
    ear::Ear,
    failure::Failure,
    filling::ON_ITS_WAY,
    heard::Name,
    scripts::{Fill, Filled},
    shared::Shared,
};

/// Most channels that are asked about in one pipeline.
const CHANNELS_AT_ONCE: usize = 256;

/// Compares the heads of the ear's silent channels. Where the history is ahead, and what lies between does not arrive
/// within a second either, the ear is deaf: an error, which ends the connection, so that all is filled.
pub(crate) async fn compare(shared: &Arc<Shared>, ear: &Ear) -> Result<(), Failure> {
    for channels in shared.heard.silent(ear.number).chunks(CHANNELS_AT_ONCE) {
        let behind = behind(shared, channels).await;
        if behind.is_empty() {
            continue;
        }
        time::sleep(ON_ITS_WAY).await;
        let still = |(channel, head): &&(Channel, Position)| !is_there(shared, channel, *head);
        if let Some((channel, head)) = behind.iter().find(still) {
            let here = shared.heard.deliveries().and_then(|deliveries| deliveries.position(channel));
            tracing::warn!(channel = channel.as_str(), %head, ?here, "redis: events did not arrive");
            return Err(Failure::not_done("the connection is deaf: events are in the history that did not arrive"));
        }
    }
    Ok(())
}

/// The channels whose history is ahead of this node's log. What can't be asked about is not.
async fn behind(shared: &Shared, channels: &[(Name, Channel)]) -> Vec<(Channel, Position)> {
    let head = |(_, channel): &(Name, Channel)| {
        let keys = shared.keys.channel(channel);
        Fill { keys: &keys, after: None, limit: 0, bytes_max: 0 }.call()
    };
    let replies = shared.commands.call_all(channels.iter().map(head).collect()).await;
    let heads = replies.into_iter().map(|reply| Fill::parse(reply.ok()?).ok()?.map(|Filled { head, .. }| head));
    let of_channel = channels.iter().zip(heads);
    of_channel
        .filter_map(|((_, channel), head)| Some((channel.clone(), head?)))
        .filter(|(channel, head)| !is_there(shared, channel, *head))
        .collect()
}

fn is_there(shared: &Shared, channel: &Channel, head: Position) -> bool {
    let here = shared.heard.deliveries().and_then(|deliveries| deliveries.position(channel));
    // One that is no longer read is no matter.
    here.is_none_or(|here| here.epoch == head.epoch && here.offset >= head.offset)
}
