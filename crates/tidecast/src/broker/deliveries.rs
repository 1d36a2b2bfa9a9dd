//! Where a broker delivers events: the logs of this node.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    control_message::ControlMessage,
    history::{History, PastEvent, Since},
};
use crate::{
    Channel, Frame, Limits, Position, ResetReason,
    channel_log::{AppendOutcome, ChannelLog, Evicted, Head},
    clock::Clock,
    hub::Registry,
    wire::frame::EncodedEvent,
};

/// The handle through which a broker delivers events. Cheap to clone.
///
/// It does not keep the hub alive. Once the hub is gone, calls have no effect.
#[derive(Debug, Clone)]
pub struct Deliveries {
    registry: Weak<Registry>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Deliveries {
    pub(crate) fn new(registry: &Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { limits: registry.limits().clone(), registry: Arc::downgrade(registry), clock }
    }

    /// Appends an event to its channel's log, which assigns the position: for brokers that leave this to the log.
    ///
    /// The outcome is [`AppendOutcome::Appended`] or [`AppendOutcome::Closed`].
    pub fn append(&self, channel: &Channel, event: &EncodedEvent<'_>) -> AppendOutcome {
        self.append_by(channel, |log, now| log.append(now, event, &self.limits))
    }

    /// Opens a channel's log in a new epoch, unless it is open: for brokers that leave the positions to the log.
    pub fn open(&self, channel: &Channel) {
        self.change(channel, ChannelLog::open);
    }

    /// Moves a channel's log to where the broker says that the channel stands. The next event to be
    /// [appended](Self::append_at) follows that position.
    ///
    /// A log of another epoch starts over, and its readers are told `restarted`. A log that is behind continues there; its
    /// readers get the events between from the broker's history. A log that is there or ahead stays as it is.
    pub fn open_at(&self, channel: &Channel, head: &Head) {
        self.change(channel, |log| log.open_at(head).map(|()| true));
    }

    /// Moves a channel's log back to an offset of its epoch, because the broker's history differs after it. Readers that
    /// have passed the offset are told `restarted`, and continue there.
    pub fn rewind(&self, channel: &Channel, offset: u64) {
        self.change(channel, |log| log.rewind(offset).map(|()| true));
    }

    /// Continues a channel's log in another epoch, if the broker knows that this node has missed nothing: the head's
    /// position is where the log stands now. Readers that have read everything continue without a reset.
    pub fn continue_at(&self, channel: &Channel, head: &Head) {
        self.change(channel, |log| log.continue_at(head).map(|()| true));
    }

    /// Appends an event to its channel's log at the position that the broker assigned.
    pub fn append_at(&self, channel: &Channel, position: Position, event: &EncodedEvent<'_>) -> AppendOutcome {
        self.append_by(channel, |log, now| log.append_at(now, position, event, &self.limits))
    }

    /// Appends an event without a position to its channel's log. Present readers get it without an id; nobody gets it
    /// later.
    pub fn append_foreign(&self, channel: &Channel, event: &EncodedEvent<'_>) -> AppendOutcome {
        self.append_by(channel, |log, now| log.append_foreign(now, event, &self.limits))
    }

    /// Makes a channel live: from now on no event after the log's head is missed, and waiting readers start there. Does
    /// nothing if the log is not open.
    pub fn go_live(&self, channel: &Channel) {
        self.change(channel, |log| log.set_live(None, None));
    }

    /// Makes a channel live, for brokers that know where the channel stood when the waiting readers came. They start after
    /// that position, and lose nothing that was published while the channel was being opened.
    ///
    /// `reset` is what they are told first if events may be missing all the same; `None` if none are.
    pub fn go_live_after(&self, channel: &Channel, after: Position, reset: Option<ResetReason>) {
        self.change(channel, |log| log.set_live(Some(after), reset));
    }

    /// Returns how long the first of the waiting readers has waited for the channel to go live, or `None` if no reader
    /// waits.
    #[must_use]
    pub fn longest_wait(&self, channel: &Channel) -> Option<Duration> {
        let since = self.find(channel)?.waiting_since()?;
        Some(self.clock.now().saturating_sub(since))
    }

    /// Makes a channel not live: events may now be missed, so new readers wait until the next [`go_live`](Self::go_live).
    /// Readers that have started stay.
    pub fn suspend(&self, channel: &Channel) {
        if let Some(log) = self.find(channel) {
            // An evicted log has no readers, and the channel's next log begins suspended.
            let _ = log.suspend();
        }
    }

    /// Makes a channel not live if it has no reader, and returns whether it has none. The broker is then
    /// [told](super::Broker::subscribe) of the next reader as the first one.
    #[must_use]
    pub fn suspend_if_unread(&self, channel: &Channel) -> bool {
        self.find(channel).is_none_or(|log| log.suspend_if_unread().unwrap_or(true))
    }

    /// Returns the position of this node's log of a channel, or `None` while the log is not open.
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        self.find(channel)?.lock().ok()?.log.position()
    }

    /// Returns the number of subscriptions on this node that read the channel.
    #[must_use]
    pub fn readers(&self, channel: &Channel) -> usize {
        self.find(channel).and_then(|log| log.lock().ok().map(|state| state.readers())).unwrap_or(0)
    }

    /// Drops a channel's events and starts its log over in another epoch; its readers are told `restarted`. A channel
    /// without readers is forgotten. Returns whether the channel was known.
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

    /// Reads the past events of a channel that this node's log has.
    #[must_use]
    pub fn past(&self, channel: &Channel, since: Since, limit: usize) -> History {
        let Some(log) = self.find(channel) else {
            return History::new(Vec::new(), matches!(since, Since::Newest | Since::After(Position::START)));
        };
        let after = match since {
            Since::After(position) => Some(position),
            Since::Newest => None,
        };
        let (frames, is_complete) = log.past(after, limit);
        let past_event = |(position, frame): (Position, Frame)| PastEvent::new(position, frame.event(position));
        History::new(frames.into_iter().map(past_event).collect(), is_complete)
    }

    /// Returns the hub's limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the hub's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn find(&self, channel: &Channel) -> Option<Arc<ChannelLog>> {
        self.registry.upgrade()?.find(channel)
    }

    fn append_by(
        &self,
        channel: &Channel,
        mut append: impl FnMut(&Arc<ChannelLog>, Duration) -> Result<AppendOutcome, Evicted>,
    ) -> AppendOutcome {
        let Some(registry) = self.registry.upgrade() else { return AppendOutcome::Closed };
        let now = self.clock.now();
        registry.append(channel, now, |log| append(log, now))
    }

    /// Changes a channel's log, and notifies its readers if `act` returns `true`.
    fn change(&self, channel: &Channel, act: impl FnMut(&ChannelLog) -> Result<bool, Evicted>) {
        if let Some(registry) = self.registry.upgrade() {
            registry.notify_if(channel, self.clock.now(), act);
        }
    }
}
