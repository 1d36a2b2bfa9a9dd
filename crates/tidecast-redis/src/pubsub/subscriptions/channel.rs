//! One subscribed channel: its phase, and the messages buffered until it is live.
//!
//! Plain data under the lock of `subscriptions`. It knows no connection and no log.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use tidecast::{
    Channel, Epoch, Position,
    broker::{EncodedEvent, Head, PastEvent},
};

use super::{
    PubSubName, WorkerId,
    backfill_task::{BackfillCause, BackfillTask, LiveFrom},
    message::PubSubMessage,
};
use crate::{
    backoff::Backoff,
    stats::{RedisCounters, count},
};

/// The most messages buffered for one channel. Beyond it an event with a position is read from the history, and a
/// foreign one is lost and counted.
const BUFFERED_MAX: usize = 1_024;

/// The most bytes buffered for one channel.
const BUFFERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes buffered for all channels. Only a reconnect backfills enough channels at once to reach it.
pub(super) const BUFFERED_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;

/// The most foreign epochs remembered for one channel, so that not each of their events causes a backfill.
const FOREIGN_EPOCHS_MAX: usize = 8;

/// A channel in the table.
#[derive(Debug)]
pub(super) struct SubscribedChannel {
    name: PubSubName,
    pub(super) channel: Channel,
    /// The worker that is subscribed to it; `None` while no node has its slot.
    pub(super) worker: Option<WorkerId>,
    pub(super) phase: Phase,
    /// Unique among all channels; drawn again each time that the subscription begins. A backfill of an earlier
    /// generation is stale.
    pub(super) generation: u64,
    /// The channel has not been live yet, so no reader depends on what its log has.
    cold: bool,
    /// The epoch of the log since the channel went live.
    pub(super) epoch: Option<Epoch>,
    buffered: VecDeque<PubSubMessage>,
    buffered_bytes: usize,
    /// The first offset at which the log may have another event than the history.
    verify_from: Option<u64>,
    /// Where waiting readers begin once the channel is live, as far as Redis has replied.
    pub(super) live_from: Option<LiveFrom>,
    /// Something arrived after the last request to Redis that only another request can settle.
    pub(super) read_again: bool,
    /// Nothing has arrived since the last lag check.
    pub(super) idle: bool,
    foreign_epochs: VecDeque<Epoch>,
    /// An event arrived that was not delivered and is in no history. Readers have not been told yet.
    pub(super) has_lost: bool,
    /// The log's last position in the epoch that it most recently left without a reset.
    pub(super) left_at: Option<Position>,
    live_since: Instant,
    /// When the channel went live, its epoch was drawn by the server process that replied.
    is_current: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Redis has not confirmed the subscription.
    Unconfirmed,
    Backfilling,
    Live,
}

impl SubscribedChannel {
    pub(super) fn new(name: PubSubName, channel: Channel, worker: Option<WorkerId>, generation: u64) -> Self {
        Self {
            name,
            channel,
            worker,
            phase: Phase::Unconfirmed,
            generation,
            cold: true,
            epoch: None,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            verify_from: None,
            live_from: None,
            read_again: false,
            idle: false,
            foreign_epochs: VecDeque::new(),
            has_lost: false,
            left_at: None,
            live_since: Instant::now(),
            is_current: false,
        }
    }

    /// Begins the subscription again, with a worker. Buffered messages stay: they precede what will arrive.
    pub(super) fn begin(&mut self, worker: Option<WorkerId>, generation: u64) {
        self.worker = worker;
        self.generation = generation;
        self.phase = Phase::Unconfirmed;
        self.foreign_epochs.clear();
    }

    pub(super) fn go_live(&mut self, epoch: Epoch, is_current: bool) {
        self.epoch = Some(epoch);
        self.is_current = is_current;
        self.phase = Phase::Live;
        self.cold = false;
        self.live_since = Instant::now();
        self.idle = false;
    }

    /// Returns whether the channel has been live for longer than `age`.
    pub(super) fn is_live_for(&self, age: Duration) -> bool {
        self.phase == Phase::Live && self.live_since.elapsed() > age
    }

    pub(super) fn begin_backfill(&mut self, cause: BackfillCause) -> BackfillTask {
        self.phase = Phase::Backfilling;
        BackfillTask {
            name: self.name.clone(),
            channel: self.channel.clone(),
            generation: self.generation,
            cause,
            cold: self.cold,
            from_newest: false,
            buffered_before: 0,
            verify_from: None,
            verified_to: u64::MAX,
            was_current: self.is_current,
            is_current: false,
            may_lag: false,
            counted: false,
            logged: false,
            backoff: Backoff::RECONNECT,
        }
    }

    /// Buffers a message within the bounds. `total_bytes` counts the buffered bytes of all channels.
    pub(super) fn buffer(&mut self, message: PubSubMessage, total_bytes: &mut usize, counters: &RedisCounters) {
        let bytes = message.bytes();
        let is_full = self.buffered.len() >= BUFFERED_MAX
            || self.buffered_bytes + bytes > BUFFERED_BYTES_MAX
            || *total_bytes + bytes > BUFFERED_BYTES_TOTAL_MAX;
        if is_full {
            count(&counters.overflowed);
            self.read_again |= message.position().is_some();
            return;
        }
        self.buffered_bytes += bytes;
        *total_bytes += bytes;
        self.buffered.push_back(message);
    }

    /// Records that the log may have another event than the history from an offset on.
    pub(super) fn verify_from(&mut self, offset: u64) {
        self.verify_from = Some(self.verify_from.map_or(offset, |earlier| earlier.min(offset)));
    }

    pub(super) fn take_verify_from(&mut self) -> Option<u64> {
        self.verify_from.take()
    }

    /// Replaces buffered events that differ from the history at their positions. Returns the positions replaced.
    pub(super) fn correct(&mut self, epoch: Epoch, events: &[PastEvent]) -> Vec<Position> {
        let mut replaced = Vec::new();
        for message in &mut self.buffered {
            let PubSubMessage::Native { position, event } = message else { continue };
            if position.epoch != epoch {
                continue;
            }
            // Offsets have gaps, because events that cannot be decoded are left out.
            let Ok(index) = events.binary_search_by_key(&position.offset, |past| past.position.offset) else {
                continue;
            };
            let past = &events[index];
            if !EncodedEvent::new(event).is_same(&EncodedEvent::new(&past.event)) {
                *event = past.event.clone();
                replaced.push(*position);
            }
        }
        replaced
    }

    pub(super) fn buffered(&self) -> &VecDeque<PubSubMessage> {
        &self.buffered
    }

    pub(super) fn take_buffered(&mut self, total_bytes: &mut usize) -> VecDeque<PubSubMessage> {
        *total_bytes -= mem::take(&mut self.buffered_bytes);
        mem::take(&mut self.buffered)
    }

    /// Returns whether an epoch belongs to a hub of another database or key prefix.
    pub(super) fn is_foreign_epoch(&self, epoch: Epoch) -> bool {
        self.foreign_epochs.contains(&epoch)
    }

    pub(super) fn add_foreign_epoch(&mut self, epoch: Epoch) {
        if !self.is_foreign_epoch(epoch) {
            self.foreign_epochs.truncate(FOREIGN_EPOCHS_MAX - 1);
            self.foreign_epochs.push_front(epoch);
        }
    }

    pub(super) fn clear_foreign_epochs(&mut self) {
        self.foreign_epochs.clear();
    }

    /// Detects events that Redis lost among the first `count` buffered messages, because the channel's hash was deleted
    /// or the server emptied.
    ///
    /// A lost event began an epoch that came and went since the log was at `here` and before Redis replied with `head`,
    /// or it continued the epoch that the log has left.
    pub(super) fn detect_loss(&mut self, count: usize, here: Position, head: &Head) {
        let is_kept = |position: Position| {
            let is_in = |(epoch, end): &(Epoch, u64)| *epoch == position.epoch && position.offset <= *end;
            position.epoch == head.position.epoch || head.lineage.iter().any(is_in)
        };
        // If the log's epoch continues, nothing came in between: the event is of another database or key prefix. The
        // epoch of a channel without events continues as long as it is the head's or one of its origins.
        let is_empty_still = here.offset == 0 && head.origins.contains(&here.epoch);
        let continues = here.epoch == head.position.epoch || is_empty_still;
        // An epoch that follows the log begins at its next offset or at 1. One of another database rarely does.
        let follows = |position: Position| !continues && (position.offset == 1 || position.offset == here.offset + 1);
        let was_next = |position: Position| {
            self.left_at.is_some_and(|left| left.epoch == position.epoch && position.offset > left.offset)
        };
        let positions = self.buffered.iter().take(count).filter_map(PubSubMessage::position);
        let lost = positions.filter(|position| (follows(*position) || was_next(*position)) && !is_kept(*position));
        let lost = lost.map(|position| position.epoch).filter(|epoch| !self.is_foreign_epoch(*epoch));
        let lost: Vec<_> = lost.collect();
        self.has_lost |= !lost.is_empty();
        // Later events of such an epoch are no further loss.
        lost.into_iter().for_each(|epoch| self.add_foreign_epoch(epoch));
    }
}

#[cfg(test)]
mod tests {
    use tidecast::Event;

    use super::*;

    /// The history's events were found by how far they are from the first one. If one before them could not be read, a
    /// forged event was compared with its neighbor and remained.
    #[test]
    fn a_buffered_event_is_corrected_though_an_event_before_it_cannot_be_read() {
        let epoch = Epoch::random();
        let at = |offset| Position { epoch, offset };
        let mut subscribed = SubscribedChannel::new(b"sse"[..].into(), Channel::default(), Some(0), 0);
        for (offset, text) in [(3, "forged"), (4, "4"), (5, "unknown"), (6, "forged")] {
            let message = PubSubMessage::Native { position: at(offset), event: Event::text(text) };
            subscribed.buffer(message, &mut 0, &RedisCounters::default());
        }
        let events = [1, 3, 4, 6].map(|offset| PastEvent::new(at(offset), Event::text(offset.to_string())));
        assert_eq!(subscribed.correct(epoch, &events), [at(3), at(6)]);
        let texts = subscribed.buffered().iter().map(|message| match message {
            PubSubMessage::Native { event, .. } => event.data().to_owned(),
            other => panic!("{other:?}"),
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["3", "4", "unknown", "6"]);
        assert_eq!(subscribed.correct(Epoch::random(), &events), []);
    }
}
