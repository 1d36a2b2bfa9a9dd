//! An arrival: what was published under a name is read, and put into the channel's log or held back.
//!
//! In the task that reads the socket, one after the other. It does not wait; what does not follow the log is handed to
//! who fills it.

use tidecast::{
    Channel, Position,
    broker::{AppendOutcome, Deliveries, EncodedEvent},
};

use super::{
    Name, Subscriptions,
    channel::{BackfillTask, Buffered, Phase},
};
use crate::{
    codec::{self, Decoded, InvalidPayload},
    stats::count,
};

/// What an arrival calls for.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Nothing,
    /// The log lacks something that comes before it.
    Fill(BackfillTask),
}

impl Subscriptions {
    /// Takes what was published under a name.
    pub(crate) fn arrive(&self, name: &[u8], payload: &[u8]) -> Call {
        let Some(deliveries) = self.deliveries() else { return Call::Nothing };
        let known = {
            let state = self.state.lock();
            state.channels.get_key_value(name).map(|(name, known)| (name.clone(), known.channel.clone()))
        };
        // A moment ago it was unsubscribed.
        let Some((name, channel)) = known else { return Call::Nothing };
        match codec::decode(payload, deliveries.limits()) {
            Decoded::Native { position, partial: true, .. } => self.offer(&name, &channel, Buffered::Partial(position)),
            Decoded::Native { position, event, .. } => {
                self.offer(&name, &channel, Buffered::Native { position, event })
            }
            Decoded::Foreign(event) => {
                count(&self.counters.foreign);
                self.offer(&name, &channel, Buffered::Foreign(event))
            }
            Decoded::Invalid(invalid) => self.skip(&name, &channel, &invalid),
        }
    }

    /// What can't be read as an event is passed over; one of ours is looked up, as the history may have it.
    fn skip(&self, name: &Name, channel: &Channel, invalid: &InvalidPayload) -> Call {
        if self.counters.count_poison() {
            let (channel, reason) = (channel.as_str(), &*invalid.reason);
            tracing::warn!(channel, reason, "a payload that is no event was skipped");
        }
        invalid.position.map_or(Call::Nothing, |position| self.offer(name, channel, Buffered::Partial(position)))
    }

    fn offer(&self, name: &Name, channel: &Channel, arrival: Buffered) -> Call {
        {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(known) = state.channels.get_mut(name) else { return Call::Nothing };
            // In whatever phase: who publishes elsewhere without a pause must not keep this channel from going live. And it
            // is no sign of life, as what was taken for a stranger may be none.
            if arrival.position().is_some_and(|position| known.is_foreign_epoch(position.epoch)) {
                count(&self.counters.elsewhere);
                return Call::Nothing;
            }
            known.idle = false;
            if known.phase != Phase::Live {
                known.buffer(arrival, &mut state.buffered_bytes, &self.counters);
                return Call::Nothing;
            }
        }
        // The lock is let go of: this wakes readers. What arrives next on this channel comes from this same task.
        let Some(deliveries) = self.deliveries() else { return Call::Nothing };
        let applied = apply(deliveries, channel, arrival);
        if matches!(applied, Applied::Done) {
            return Call::Nothing;
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(known) = state.channels.get_mut(name) else { return Call::Nothing };
        match applied {
            Applied::Done => {}
            Applied::OutOfOrder(arrival) => known.buffer(arrival, &mut state.buffered_bytes, &self.counters),
            Applied::Conflict(position) => {
                self.counters.count_conflict(channel, position);
                known.suspect(position.offset);
            }
        }
        if known.phase != Phase::Live {
            return Call::Nothing;
        }
        Call::Fill(BackfillTask { by_arrival: true, ..known.begin_backfill(name) })
    }
}

/// What came of putting an arrival into its log.
#[derive(Debug)]
pub(super) enum Applied {
    /// It is there, or nobody wants it.
    Done,
    /// It does not follow what is there.
    OutOfOrder(Buffered),
    /// Another event is there at its position, and one of the two is not genuine.
    Conflict(Position),
}

/// Puts an arrival into its log.
pub(super) fn apply(deliveries: &Deliveries, channel: &Channel, arrival: Buffered) -> Applied {
    // A log of a channel without an event would take any epoch, also that of another database or prefix. Redis knows whose
    // it is.
    let is_of_another = |position: Position| {
        deliveries.position(channel).is_some_and(|here| here.offset == 0 && here.epoch != position.epoch)
    };
    if arrival.position().is_some_and(is_of_another) {
        return Applied::OutOfOrder(arrival);
    }
    let applied = match &arrival {
        Buffered::Native { position, event } => deliveries.append_at(channel, *position, &EncodedEvent::new(event)),
        Buffered::Foreign(event) => deliveries.append_foreign(channel, &EncodedEvent::new(event)),
        Buffered::Partial(position) => {
            let is_here = |here: Position| here.epoch == position.epoch && here.offset >= position.offset;
            return if deliveries.position(channel).is_some_and(is_here) {
                Applied::Done
            } else {
                Applied::OutOfOrder(arrival)
            };
        }
    };
    match applied {
        // Dropping it wakes the readers.
        AppendOutcome::Appended(appended) => drop(appended),
        AppendOutcome::Duplicate | AppendOutcome::Closed => {}
        AppendOutcome::Conflict => return arrival.position().map_or(Applied::Done, Applied::Conflict),
        // A foreign event finds no log only if nobody can be reading.
        AppendOutcome::Gap if matches!(arrival, Buffered::Native { .. }) => return Applied::OutOfOrder(arrival),
        AppendOutcome::Gap => {}
    }
    Applied::Done
}
