//! A decoded message, and its append to a log.

use tidecast::{
    Channel, Event, Position,
    broker::{AppendOutcome, Deliveries, EncodedEvent},
};

/// A decoded message.
#[derive(Debug)]
pub(super) enum PubSubMessage {
    /// An event with a position, published by a Tidecast hub.
    Native { position: Position, event: Event },
    /// The position of an event that has to be read from the history.
    Partial(Position),
    /// An event without a position, published by another program.
    Foreign(Event),
}

impl PubSubMessage {
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Native { position, .. } | Self::Partial(position) => Some(*position),
            Self::Foreign(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Native { event, .. } | Self::Foreign(event) => event.data().len(),
            Self::Partial(_) => 0,
        }
    }
}

/// The outcome of appending a message to its log.
#[derive(Debug)]
pub(super) enum MessageOutcome {
    /// The log has it, or no reader wants it.
    Applied,
    /// It does not follow the log.
    OutOfOrder(PubSubMessage),
    /// The log has another event at its position; one of the two is not genuine.
    Conflict(Position),
}

/// Appends a message to its channel's log and wakes the readers.
pub(super) fn append(deliveries: &Deliveries, channel: &Channel, message: PubSubMessage) -> MessageOutcome {
    let outcome = match &message {
        PubSubMessage::Native { position, event } => {
            deliveries.append_at(channel, *position, &EncodedEvent::new(event))
        }
        PubSubMessage::Foreign(event) => deliveries.append_foreign(channel, &EncodedEvent::new(event)),
        PubSubMessage::Partial(position) => {
            let has_it = |here: Position| here.epoch == position.epoch && here.offset >= position.offset;
            let is_known = deliveries.position(channel).is_some_and(has_it);
            return if is_known { MessageOutcome::Applied } else { MessageOutcome::OutOfOrder(message) };
        }
    };
    match outcome {
        // Dropping it wakes the readers.
        AppendOutcome::Appended(appended) => drop(appended),
        AppendOutcome::Duplicate | AppendOutcome::Closed => {}
        AppendOutcome::Conflict => return message.position().map_or(MessageOutcome::Applied, MessageOutcome::Conflict),
        AppendOutcome::Gap if matches!(message, PubSubMessage::Native { .. }) => {
            return MessageOutcome::OutOfOrder(message);
        }
        // A foreign event finds no log only if no subscription reads the channel.
        AppendOutcome::Gap => {}
    }
    MessageOutcome::Applied
}
