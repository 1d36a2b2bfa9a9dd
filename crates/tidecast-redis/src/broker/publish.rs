//! Publishes through `publish.lua`.

use tidecast::{Error, Publication, Published, Result};

use super::{RedisBroker, unavailable};
use crate::{
    error::CallError,
    pubsub::context::BrokerContext,
    receipt::Receipt,
    scripts::{Publish, PublishTarget, Retention},
    stats::count,
};

impl RedisBroker {
    pub(super) async fn publish_event(&self, publication: Publication) -> Result<Published> {
        let context = &self.context;
        let config = &context.config;
        let deliveries = self.deliveries()?;
        let Publication { channel, event, idempotency_key, .. } = &publication;
        let name = context.name(channel);
        let publish = Publish {
            keys: &context.keys.channel(channel),
            event,
            idempotency_key: idempotency_key.as_ref(),
            receipt: &Receipt::new(&publication, deliveries.readers(channel)).to_string(),
            target: PublishTarget {
                name: &String::from_utf8_lossy(&name),
                kind: config.channel_kind(),
                format: config.plain_format,
            },
            retention: &Retention {
                events_max: if config.keeps_history() { config.history_events_max } else { 0 },
                events_age_max: config.history_age_max,
                idle_age_max: config.counter_age_max(),
                idempotency_age_max: deliveries.limits().idempotency_age_max,
            },
            seen: &context.seen_replication_ids(),
        };
        let reply = context.commands.call(publish.call()).await.map_err(|error| publish_failed(context, &error))?;
        let accepted = Publish::parse(reply).map_err(|malformed| publish_failed(context, &malformed.into()))?;
        context.write_error.clear();
        context.record_server(&accepted.server);
        if !accepted.repeated {
            count(&context.subscriptions.counters.published);
        }
        let receipt = Receipt::parse(&accepted.receipt);
        let mut published = receipt.published(&publication, accepted.position, accepted.repeated);
        published.delayed = !*context.connected.borrow();
        Ok(published)
    }
}

fn publish_failed(context: &BrokerContext, error: &CallError) -> Error {
    count(&context.subscriptions.counters.publish_failures);
    // The pub/sub workers log that Redis is unavailable.
    if let CallError::Rejected(reason) | CallError::Protocol(reason) = error {
        context.write_error.record(reason);
    }
    unavailable(error)
}
