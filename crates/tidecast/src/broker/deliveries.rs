//! Where a broker puts what arrives: the logs of this node.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{ControlMessage, History, PastEvent, Since};
use crate::{
    Channel, Limits, Position, ResetReason,
    channel_log::{ChannelLog, Head},
    clock::Clock,
    hub::{Appended, Registry},
    wire::{EncodedEvent, Frame},
};

/// What a broker delivers to.
///
/// A cheap handle. It does not keep the hub alive; what is put in after the hub has gone goes nowhere.
#[derive(Debug, Clone)]
pub struct Deliveries {
    registry: Weak<Registry>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

/// What came of an event that was put at a position.
#[derive(Debug)]
#[must_use = "dropping what was appended wakes the readers: let go of locks first"]
pub enum AppendOutcome {
    /// It is in the log. The readers are woken when this is dropped.
    Appended(Appended),
    /// It was there before, or has left the log.
    Duplicate,
    /// Another event is there at that position: only the broker's history can tell which is genuine.
    Conflict,
    /// It does not follow what is there: events between are missing, it is of another epoch, or the log is not open.
    Gap,
    /// The hub is closed or has gone.
    Closed,
}

impl Deliveries {
    pub(crate) fn new(registry: &Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { limits: registry.limits().clone(), registry: Arc::downgrade(registry), clock }
    }

    /// Appends an event to its channel's log, which draws the position: for brokers for which the log is the authority.
    ///
    /// The readers are woken when the answer is dropped. `None` where the hub has gone or is closed: the event was not
    /// accepted.
    pub fn append(&self, channel: &Channel, event: &EncodedEvent<'_>) -> Option<Appended> {
        self.registry.upgrade()?.append(channel, event, self.clock.now())
    }

    /// Opens a channel's log, if it is not open yet, in a new epoch: for brokers for which the log is the authority.
    pub fn open(&self, channel: &Channel) {
        if let Some(registry) = self.registry.upgrade() {
            registry.ring_if(channel, self.clock.now(), ChannelLog::open);
        }
    }

    /// Has a channel's log stand where the broker says: the next event to be [put](Self::append_at) follows that.
    ///
    /// A log of another epoch starts over, and its readers are told `restarted`. One that is behind goes on there; what
    /// lies between is not in it, so its readers ask the broker's history. One that is there, or ahead, stays as it is.
    pub fn open_at(&self, channel: &Channel, head: &Head) {
        if let Some(registry) = self.registry.upgrade() {
            registry.ring_if(channel, self.clock.now(), |log| log.open_at(head).map(|()| true));
        }
    }

    /// Has a channel's log go back to an offset of its epoch, because what it has after that is not what the broker's
    /// history has. Readers that have come to it are told `restarted`, and read on from there.
    pub fn rewind(&self, channel: &Channel, offset: u64) {
        if let Some(registry) = self.registry.upgrade() {
            registry.ring_if(channel, self.clock.now(), |log| log.rewind(offset).map(|()| true));
        }
    }

    /// Has a channel's log go on in another epoch, where a broker knows that this node has missed nothing: the head's
    /// position is where the log stands now. Readers that have read everything go on without a reset.
    pub fn continue_at(&self, channel: &Channel, head: &Head) {
        if let Some(registry) = self.registry.upgrade() {
            registry.ring_if(channel, self.clock.now(), |log| log.continue_at(head).map(|()| true));
        }
    }

    /// Puts an event into its channel's log at the position that the broker gave it.
    pub fn append_at(&self, channel: &Channel, position: Position, event: &EncodedEvent<'_>) -> AppendOutcome {
        let placed = |registry: Arc<Registry>| registry.append_at(channel, position, event, self.clock.now());
        self.registry.upgrade().map_or(AppendOutcome::Closed, placed)
    }

    /// Puts an event that has no position behind all that is in its channel's log: who reads it now gets it, without an
    /// id; nobody gets it later.
    pub fn append_foreign(&self, channel: &Channel, event: &EncodedEvent<'_>) -> AppendOutcome {
        let placed = |registry: Arc<Registry>| registry.append_foreign(channel, event, self.clock.now());
        self.registry.upgrade().map_or(AppendOutcome::Closed, placed)
    }

    /// Tells that from now on nothing after the log's head is missed, so that readers which wait begin there. Does
    /// nothing where the log is not open.
    pub fn go_live(&self, channel: &Channel) {
        if let Some(registry) = self.registry.upgrade() {
            registry.ring_if(channel, self.clock.now(), |log| log.set_live(None, None));
        }
    }

    /// The same, for brokers that know where the channel stood when the readers came which wait: these begin after that
    /// position, and lose nothing that was published while the channel was being opened. `reset` is what they are told
    /// first if events may be missing all the same; `None` if none are.
    pub fn go_live_after(&self, channel: &Channel, after: Position, reset: Option<ResetReason>) {
        if let Some(registry) = self.registry.upgrade() {
            registry.ring_if(channel, self.clock.now(), |log| log.set_live(Some(after), reset));
        }
    }

    /// Returns how long the first of the readers has waited that wait for the channel to go live; `None` if no reader
    /// waits.
    #[must_use]
    pub fn longest_wait(&self, channel: &Channel) -> Option<Duration> {
        let since = self.registry.upgrade()?.find(channel)?.waiting_since()?;
        Some(self.clock.now().saturating_sub(since))
    }

    /// Tells that events may now be missed: new readers wait until the next [`go_live`](Self::go_live); those that have
    /// begun stay.
    pub fn suspend(&self, channel: &Channel) {
        if let Some(log) = self.registry.upgrade().and_then(|registry| registry.find(channel)) {
            // One that is gone has no readers, and the next one begins suspended.
            let _ = log.suspend();
        }
    }

    /// The same where nobody reads the channel: answers whether that is so. The next reader is
    /// [told of](super::Broker::subscribe) as the first.
    #[must_use]
    pub fn suspend_if_unread(&self, channel: &Channel) -> bool {
        let log = self.registry.upgrade().and_then(|registry| registry.find(channel));
        log.is_none_or(|log| log.suspend_if_unread().unwrap_or(true))
    }

    /// Where this node's log of a channel stands; `None` while it is not open.
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.registry.upgrade()?.find(channel)?.lock().ok()?.log.position()
    }

    /// How many subscriptions of this node read the channel.
    #[must_use]
    pub fn readers(&self, channel: &Channel) -> usize {
        let log = self.registry.upgrade().and_then(|registry| registry.find(channel));
        log.and_then(|log| log.lock().ok().map(|state| state.readers())).unwrap_or(0)
    }

    /// Drops what a channel's log has and starts it over in another epoch; its readers are told `restarted`. A channel
    /// that nobody reads is forgotten. Answers whether the channel was known.
    #[must_use]
    pub fn forget(&self, channel: &Channel) -> bool {
        self.registry.upgrade().is_some_and(|registry| registry.forget(channel))
    }

    /// Handles a [control message](super::Broker::send_control) that the broker received. Never waits. A message that is
    /// too long or unknown is ignored.
    pub fn control(&self, message: &[u8]) {
        let Some(registry) = self.registry.upgrade() else { return };
        match ControlMessage::parse(message) {
            Some(ControlMessage::Forgotten(channel)) => registry.forget_released(&channel),
            None => {}
        }
    }

    /// Whether a subscription of this node reads the channel.
    #[must_use]
    pub fn is_read(&self, channel: &Channel) -> bool {
        self.readers(channel) > 0
    }

    /// Reads what this node's log has of a channel's past.
    #[must_use]
    pub fn past(&self, channel: &Channel, since: Since, limit: usize) -> History {
        let log = self.registry.upgrade().and_then(|registry| registry.find(channel));
        let Some(log) = log else {
            return History {
                complete: matches!(since, Since::Newest | Since::After(Position::START)),
                ..History::default()
            };
        };
        let after = match since {
            Since::After(position) => Some(position),
            Since::Newest => None,
        };
        let (frames, complete) = log.past(after, limit);
        let past_event = |(position, frame): (Position, Frame)| PastEvent::new(position, frame.event(position));
        History::new(frames.into_iter().map(past_event).collect(), complete)
    }

    /// The hub's bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The hub's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
