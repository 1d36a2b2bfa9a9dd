//! Subscribing and unsubscribing on a worker's connection.

use std::{collections::VecDeque, mem};

use super::PubSubWorker;
use crate::{
    config::ChannelKind,
    error::CallError,
    pubsub::context::BrokerContext,
    pubsub::{connection::PubSubConnection, subscriptions::PubSubName},
};

/// The most names in one command.
const NAMES_PER_COMMAND: usize = 512;

impl PubSubWorker {
    /// Sends the pending unsubscriptions and subscriptions.
    pub(super) async fn update_subscriptions(
        &self,
        context: &BrokerContext,
        connection: &PubSubConnection,
    ) -> Result<(), CallError> {
        let (subscribe, unsubscribe) = {
            let mut work = self.work.lock();
            (mem::take(&mut work.subscribe), mem::take(&mut work.unsubscribe))
        };
        // Unsubscriptions go first. A name in both lists is wanted again, and is filtered out of this one.
        let unwanted: Vec<_> = unsubscribe.into_iter().filter(|name| !context.subscriptions.contains(name)).collect();
        for names in unwanted.chunks(NAMES_PER_COMMAND) {
            connection.unsubscribe(self.channel_kind, names).await?;
        }
        // A name that became wanted meanwhile is subscribed to by the next call. One that is no longer wanted would never
        // be unsubscribed from.
        let wanted = subscribe.into_iter().filter(|name| context.subscriptions.contains(name)).collect();
        self.subscribe_to(context, connection, wanted).await
    }

    /// Subscribes to names, and starts the backfill of each that is confirmed. A name that the user may not subscribe to
    /// is logged and skipped.
    pub(super) async fn subscribe_to(
        &self,
        context: &BrokerContext,
        connection: &PubSubConnection,
        names: Vec<PubSubName>,
    ) -> Result<(), CallError> {
        let mut batches: VecDeque<&[PubSubName]> = names.chunks(NAMES_PER_COMMAND).collect();
        while let Some(names) = batches.pop_front() {
            match connection.subscribe(self.channel_kind, names).await {
                Ok(()) => {
                    let confirmed = names.iter().filter_map(|name| context.subscriptions.confirmed(name, self.id));
                    let confirmed: Vec<_> = confirmed.collect();
                    self.add_work(|work| work.backfill.extend(confirmed));
                }
                // Any client can name a channel, so one forbidden name must not fail the others: halve and try again.
                Err(CallError::Rejected(reason)) if reason.starts_with("NOPERM") => match names {
                    [name] => {
                        if context.subscriptions.counters.may_log_forbidden() {
                            tracing::warn!(name = %name.escape_ascii(), reason, "redis: not allowed to subscribe to a channel");
                        }
                    }
                    names => {
                        let (left, right) = names.split_at(names.len() / 2);
                        batches.extend([left, right]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Subscribes to the channel on which nodes announce deletions: by a pattern, or by its name if the user may not use the
/// pattern.
pub(super) async fn subscribe_to_control(
    context: &BrokerContext,
    connection: &PubSubConnection,
) -> Result<(), CallError> {
    match connection.subscribe_to_patterns(&[context.keys.control_pattern()]).await {
        Err(CallError::Rejected(reason)) if reason.starts_with("NOPERM") => {
            connection.subscribe(ChannelKind::Plain, &[context.keys.control()]).await
        }
        subscribed => subscribed,
    }
}
