//! An arrival: what was published under a name is read, and put into the channel's log or held back.
//!
//! In the task that reads the socket, one after the other. It does not wait; what does not follow the log is handed to
//! who fills it.

use tidecast::{
    Channel, Position,
    broker::{AppendOutcome, Deliveries, EncodedEvent},
};

use super::{
    HeardChannels, Name,
    channel::{Held, Phase, ToFill},
};
use crate::{
    codec::{self, Arrival, Poison},
    stats::count,
};

/// What an arrival calls for.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Nothing,
    /// The log lacks something that comes before it.
    Fill(ToFill),
}

impl HeardChannels {
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
            Arrival::Ours { position, look_up: true, .. } => self.offer(&name, &channel, Held::Named(position)),
            Arrival::Ours { position, event, .. } => self.offer(&name, &channel, Held::Ours { position, event }),
            Arrival::Foreign(event) => {
                count(&self.counters.foreign);
                self.offer(&name, &channel, Held::Foreign(event))
            }
            Arrival::Poison(poison) => self.skip(&name, &channel, &poison),
        }
    }

    /// What can't be read as an event is passed over; one of ours is looked up, as the history may have it.
    fn skip(&self, name: &Name, channel: &Channel, poison: &Poison) -> Call {
        if self.counters.count_poison() {
            let (channel, reason) = (channel.as_str(), &*poison.reason);
            tracing::warn!(channel, reason, "a payload that is no event was skipped");
        }
        poison.position.map_or(Call::Nothing, |position| self.offer(name, channel, Held::Named(position)))
    }

    fn offer(&self, name: &Name, channel: &Channel, arrival: Held) -> Call {
        {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some(known) = state.channels.get_mut(name) else { return Call::Nothing };
            // In whatever phase: who publishes elsewhere without a pause must not keep this channel from going live. And it
            // is no sign of life, as what was taken for a stranger may be none.
            if arrival.position().is_some_and(|position| known.is_stranger(position.epoch)) {
                count(&self.counters.elsewhere);
                return Call::Nothing;
            }
            known.silent = false;
            if known.phase != Phase::Live {
                known.hold(arrival, &mut state.held_bytes, &self.counters);
                return Call::Nothing;
            }
        }
        // The lock is let go of: this wakes readers. What arrives next on this channel comes from this same task.
        let Some(deliveries) = self.deliveries() else { return Call::Nothing };
        let placed = place(deliveries, channel, arrival);
        if matches!(placed, Put::There) {
            return Call::Nothing;
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(known) = state.channels.get_mut(name) else { return Call::Nothing };
        match placed {
            Put::There => {}
            Put::Elsewhere(arrival) => known.hold(arrival, &mut state.held_bytes, &self.counters),
            Put::Conflict(position) => {
                self.counters.count_conflict(channel, position);
                known.suspect(position.offset);
            }
        }
        if known.phase != Phase::Live {
            return Call::Nothing;
        }
        Call::Fill(ToFill { heard_on: true, ..known.begin_filling(name) })
    }
}

/// What came of putting an arrival into its log.
#[derive(Debug)]
pub(super) enum Put {
    /// It is there, or nobody wants it.
    There,
    /// It does not follow what is there.
    Elsewhere(Held),
    /// Another event is there at its position, and one of the two is not genuine.
    Conflict(Position),
}

/// Puts an arrival into its log.
pub(super) fn place(deliveries: &Deliveries, channel: &Channel, arrival: Held) -> Put {
    // A log of a channel without an event would take any epoch, also that of another database or prefix. Redis knows whose
    // it is.
    let is_of_another = |position: Position| {
        deliveries.position(channel).is_some_and(|here| here.offset == 0 && here.epoch != position.epoch)
    };
    if arrival.position().is_some_and(is_of_another) {
        return Put::Elsewhere(arrival);
    }
    let placed = match &arrival {
        Held::Ours { position, event } => deliveries.append_at(channel, *position, &EncodedEvent::new(event)),
        Held::Foreign(event) => deliveries.append_foreign(channel, &EncodedEvent::new(event)),
        Held::Named(position) => {
            let is_here = |here: Position| here.epoch == position.epoch && here.offset >= position.offset;
            return if deliveries.position(channel).is_some_and(is_here) {
                Put::There
            } else {
                Put::Elsewhere(arrival)
            };
        }
    };
    match placed {
        // Dropping it wakes the readers.
        AppendOutcome::Appended(appended) => drop(appended),
        AppendOutcome::Duplicate | AppendOutcome::Closed => {}
        AppendOutcome::Conflict => return arrival.position().map_or(Put::There, Put::Conflict),
        // A foreign event finds no log only if nobody can be reading.
        AppendOutcome::Gap if matches!(arrival, Held::Ours { .. }) => return Put::Elsewhere(arrival),
        AppendOutcome::Gap => {}
    }
    Put::There
}
