//! The path of a message: it is decoded, then appended to the channel's log or buffered.
//!
//! Runs in the task that reads the socket, one message after the other, and never waits. On a live channel it takes the
//! table's lock once, for one look-up, and then the log's.

use tidecast::Position;

use super::{
    BackfillCause, BackfillTask, Subscriptions,
    channel::Phase,
    message::{MessageOutcome, PubSubMessage, append},
};
use crate::{
    codec::{self, Decoded, InvalidPayload},
    stats::count,
};

impl Subscriptions {
    /// Handles a message. Returns a task if the log lacks events that come before it.
    pub(crate) fn on_message(&self, name: &[u8], payload: &[u8]) -> Option<BackfillTask> {
        let deliveries = self.deliveries()?;
        let message = match codec::decode(payload, deliveries.limits()) {
            Decoded::Native { position, partial: true, .. } => PubSubMessage::Partial(position),
            Decoded::Native { position, event, .. } => PubSubMessage::Native { position, event },
            Decoded::Foreign(event) => PubSubMessage::Foreign(event),
            Decoded::Invalid(invalid) => PubSubMessage::Partial(self.skip(name, &invalid)?),
        };
        let channel = {
            let mut table = self.table.lock();
            let table = &mut *table;
            // Absent if it was unsubscribed from a moment ago.
            let subscribed = table.channels.get_mut(name)?;
            if matches!(message, PubSubMessage::Foreign(_)) {
                count(&self.counters.foreign);
            }
            // Checked in every phase: another database's hub that publishes without a pause must not keep this channel
            // from going live. The channel stays idle, because a wrong guess is found by the lag check.
            if message.position().is_some_and(|position| subscribed.is_foreign_epoch(position.epoch)) {
                count(&self.counters.elsewhere);
                return None;
            }
            subscribed.idle = false;
            if subscribed.phase != Phase::Live {
                subscribed.buffer(message, &mut table.buffered_bytes, &self.counters);
                return None;
            }
            // A log without an event accepts any epoch's first one. Only Redis knows whether this one is of another
            // database or key prefix.
            if message.position().is_some_and(|position| Some(position.epoch) != subscribed.epoch) {
                subscribed.buffer(message, &mut table.buffered_bytes, &self.counters);
                return Some(subscribed.begin_backfill(BackfillCause::OutOfOrder));
            }
            subscribed.channel.clone()
        };
        // Without the table's lock, because this wakes readers. The channel's next message comes from this same task.
        let outcome = append(deliveries, &channel, message);
        if matches!(outcome, MessageOutcome::Applied) {
            return None;
        }
        let mut table = self.table.lock();
        let table = &mut *table;
        let subscribed = table.channels.get_mut(name)?;
        match outcome {
            MessageOutcome::Applied => {}
            MessageOutcome::OutOfOrder(message) => {
                subscribed.buffer(message, &mut table.buffered_bytes, &self.counters);
            }
            MessageOutcome::Conflict(position) => {
                self.counters.count_conflict(&channel, position);
                subscribed.verify_from(position.offset);
            }
        }
        (subscribed.phase == Phase::Live).then(|| subscribed.begin_backfill(BackfillCause::OutOfOrder))
    }

    /// Counts a payload that cannot be decoded. Returns its position if it has one: the history may have the event.
    fn skip(&self, name: &[u8], invalid: &InvalidPayload) -> Option<Position> {
        let channel = self.table.lock().channels.get(name)?.channel.clone();
        if self.counters.count_invalid() {
            tracing::warn!(channel = channel.as_str(), reason = &*invalid.reason, "redis: skipping an invalid payload");
        }
        invalid.position
    }
}
