//! One channel that is listened to: how far it is from being live, and what is held back until then.
//!
//! Plain data under the lock of `subscriptions`, which decides what becomes of it. It knows no connection and no log.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use tidecast::{
    Channel, Epoch, Event, Position, ResetReason,
    broker::{EncodedEvent, Head, PastEvent},
};

use super::{Name, WorkerId};
use crate::{
    backoff::Backoff,
    stats::{Counters, count},
};

/// Most arrivals that are held back for one channel while it is filled. What is ours and beyond it is in the history;
/// what is foreign is lost, and counted.
const BUFFERED_MAX: usize = 1_024;

/// Most bytes of them.
const BUFFERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most bytes of those of all channels. Only after a reconnect are so many filled at once that this counts.
pub(super) const BUFFERED_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;

/// How many epochs of other databases are remembered for one channel, so that not every event of one is looked up.
const FOREIGN_EPOCHS_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct SubscribedChannel {
    pub(super) channel: Channel,
    /// Which connection listens to it.
    pub(super) worker: Option<WorkerId>,
    pub(super) phase: Phase,
    /// Another one, of all that there ever were, each time that the subscription begins anew: whoever fills the channel
    /// for an earlier one sees that it is too late.
    pub(super) generation: u64,
    /// It has not been live yet, so nobody reads on in its log.
    cold: bool,
    buffered: VecDeque<Buffered>,
    buffered_bytes: usize,
    /// The first offset at which the log may have another event than the history.
    suspect: Option<u64>,
    /// After what readers begin that wait for it to go live, as far as Redis has told.
    pub(super) live_from: Option<LiveFrom>,
    /// Something came since Redis was asked last that only Redis can tell of.
    pub(super) repeat: bool,
    /// Nothing has arrived since the heads were last compared.
    pub(super) idle: bool,
    foreign_epochs: VecDeque<Epoch>,
    /// An event arrived that is in no history and was not delivered; readers have not been told yet.
    pub(super) has_lost: bool,
    /// Where the log was when it last went on in another epoch without a reset.
    pub(super) left: Option<Position>,
    /// When it went live last.
    live_since: Instant,
    /// The epoch in which it went live was of the server as it was then.
    is_current: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Redis has not confirmed the subscription.
    Unconfirmed,
    /// The log is being filled.
    Backfilling,
    Live,
}

/// Where readers begin that waited for a channel to go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiveFrom {
    /// After which position.
    pub(crate) after: Position,
    /// The reset that they are told first, if events may be missing all the same.
    pub(crate) reset: Option<ResetReason>,
}

impl LiveFrom {
    /// Combines what two answers of Redis tell, of which `self` is the later one: each may have events that the other has
    /// not.
    pub(super) fn and(self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        let is_before = before.after.epoch == self.after.epoch && before.after.offset < self.after.offset;
        Self { after: if is_before { before.after } else { self.after }, reset: before.reset.or(self.reset) }
    }
}

/// An arrival that is held back.
#[derive(Debug)]
pub(super) enum Buffered {
    Native {
        position: Position,
        event: Event,
    },
    /// One of ours of which only the history has all.
    Partial(Position),
    Foreign(Event),
}

/// A channel whose log is to be filled.
#[derive(Debug, Clone)]
pub(crate) struct BackfillTask {
    pub(crate) name: Name,
    pub(crate) channel: Channel,
    pub(super) generation: u64,
    /// How many arrivals were held back before Redis was asked.
    pub(super) buffered_before: usize,
    /// The first offset at which the log may have another event than the history.
    pub(crate) suspect: Option<u64>,
    /// Up to which offset what is held back was compared with the history.
    pub(super) compared_to: u64,
    /// Nobody reads on in its log: the newest events will do.
    pub(crate) cold: bool,
    /// The newest events are asked for, whatever the log has.
    pub(crate) from_newest: bool,
    /// The channel was live until something arrived that did not follow: what Redis has beyond that is on its way.
    pub(crate) was_live: bool,
    /// When it went live last, its epoch was of the server as it was then.
    pub(crate) was_current: bool,
    /// What Redis says of that now.
    pub(crate) is_current: bool,
    /// It was an event that had the channel filled, not another node's word.
    pub(crate) by_arrival: bool,
    /// The log need not reach where Redis says that the channel stands: there is no history to fill it from, and what it
    /// lacks is on its way.
    pub(crate) may_lag: bool,
    /// It has been counted as a gap.
    pub(crate) counted: bool,
    /// When it is tried again after a failure.
    pub(crate) backoff: Backoff,
    /// The log file has been told of a failure.
    pub(crate) logged: bool,
}

impl SubscribedChannel {
    pub(super) fn new(channel: Channel, worker: Option<WorkerId>, generation: u64) -> Self {
        Self {
            channel,
            worker,
            phase: Phase::Unconfirmed,
            generation,
            cold: true,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            suspect: None,
            live_from: None,
            repeat: false,
            idle: false,
            foreign_epochs: VecDeque::new(),
            has_lost: false,
            left: None,
            live_since: Instant::now(),
            is_current: false,
        }
    }

    /// Has the subscription begin anew, with an ear. What is held back stays: it came before what comes then.
    pub(super) fn begin(&mut self, worker: Option<WorkerId>, generation: u64) {
        self.worker = worker;
        self.generation = generation;
        self.phase = Phase::Unconfirmed;
        self.foreign_epochs.clear();
    }

    pub(super) fn go_live(&mut self, is_current: bool) {
        self.is_current = is_current;
        self.phase = Phase::Live;
        self.cold = false;
        self.live_since = Instant::now();
        self.idle = false;
    }

    /// Whether it went live that long ago.
    pub(super) fn is_live_for(&self, time: Duration) -> bool {
        self.phase == Phase::Live && self.live_since.elapsed() > time
    }

    pub(super) fn begin_backfill(&mut self, name: &Name) -> BackfillTask {
        let was_live = self.phase == Phase::Live;
        self.phase = Phase::Backfilling;
        BackfillTask {
            name: name.clone(),
            channel: self.channel.clone(),
            generation: self.generation,
            buffered_before: 0,
            suspect: None,
            compared_to: u64::MAX,
            cold: self.cold,
            from_newest: false,
            was_live,
            was_current: self.is_current,
            is_current: false,
            by_arrival: false,
            may_lag: false,
            counted: false,
            backoff: Backoff::RECONNECT,
            logged: false,
        }
    }

    /// Holds an arrival back. `total_bytes` is how many bytes are held back in all channels.
    pub(super) fn buffer(&mut self, arrival: Buffered, total_bytes: &mut usize, counters: &Counters) {
        let bytes = arrival.bytes();
        let full = self.buffered.len() >= BUFFERED_MAX
            || self.buffered_bytes + bytes > BUFFERED_BYTES_MAX
            || *total_bytes + bytes > BUFFERED_BYTES_TOTAL_MAX;
        if full {
            count(&counters.overflowed);
            self.repeat |= arrival.position().is_some();
            return;
        }
        self.buffered_bytes += bytes;
        *total_bytes += bytes;
        self.buffered.push_back(arrival);
    }

    /// Takes note that the log may have another event at an offset than the history.
    pub(super) fn suspect(&mut self, offset: u64) {
        self.suspect = Some(self.suspect.map_or(offset, |before| before.min(offset)));
    }

    pub(super) fn take_suspect(&mut self) -> Option<u64> {
        self.suspect.take()
    }

    /// Has what is held back be what the history has at its positions. Answers with the positions of the others.
    pub(super) fn correct(&mut self, epoch: Epoch, events: &[PastEvent]) -> Vec<Position> {
        let mut others = Vec::new();
        for buffered in &mut self.buffered {
            let Buffered::Native { position, event } = buffered else { continue };
            if position.epoch != epoch {
                continue;
            }
            // Offsets have gaps: events that can't be read are left out.
            let Ok(index) = events.binary_search_by_key(&position.offset, |past| past.position.offset) else {
                continue;
            };
            let past = &events[index];
            if !EncodedEvent::new(event).is_same(&EncodedEvent::new(&past.event)) {
                *event = past.event.clone();
                others.push(*position);
            }
        }
        others
    }

    pub(super) fn buffered(&self) -> &VecDeque<Buffered> {
        &self.buffered
    }

    pub(super) fn take_buffered(&mut self, total_bytes: &mut usize) -> VecDeque<Buffered> {
        *total_bytes -= mem::take(&mut self.buffered_bytes);
        mem::take(&mut self.buffered)
    }

    pub(super) fn is_foreign_epoch(&self, epoch: Epoch) -> bool {
        self.foreign_epochs.contains(&epoch)
    }

    pub(super) fn add_foreign_epoch(&mut self, epoch: Epoch) {
        if !self.is_foreign_epoch(epoch) {
            self.foreign_epochs.truncate(FOREIGN_EPOCHS_MAX - 1);
            self.foreign_epochs.push_front(epoch);
        }
    }

    /// Looks for what Redis has lost among the first `answered` of what is held back: the beginning of an epoch that has
    /// come and gone since the log was at `here`, and before Redis answered with `head`; or what followed in the epoch that
    /// the log has left. The channel's hash was deleted meanwhile, or the server emptied.
    pub(super) fn detect_loss(&mut self, answered: usize, here: Position, head: &Head) {
        let is_kept = |position: Position| {
            let is_in = |(epoch, end): &(Epoch, u64)| *epoch == position.epoch && position.offset <= *end;
            position.epoch == head.position.epoch || head.lineage.iter().any(is_in)
        };
        // If the log's epoch goes on, nothing came in between: then the event is of another database or prefix. The epoch of
        // a silent channel goes on as long as it is the head's or one of its origins.
        let is_silent_still = here.offset == 0 && head.origins.contains(&here.epoch);
        let goes_on = here.epoch == head.position.epoch || is_silent_still;
        // An epoch that follows the log begins at its next offset, or anew. One of another database rarely does.
        let follows = |position: Position| !goes_on && (position.offset == 1 || position.offset == here.offset + 1);
        let was_next = |position: Position| {
            self.left.is_some_and(|left| left.epoch == position.epoch && position.offset > left.offset)
        };
        let positions = self.buffered.iter().take(answered).filter_map(Buffered::position);
        let lost = positions.filter(|position| (follows(*position) || was_next(*position)) && !is_kept(*position));
        let lost: Vec<_> = lost.map(|position| position.epoch).filter(|epoch| !self.is_foreign_epoch(*epoch)).collect();
        self.has_lost |= !lost.is_empty();
        // What follows them is no news.
        lost.into_iter().for_each(|epoch| self.add_foreign_epoch(epoch));
    }

    pub(super) fn clear_foreign_epochs(&mut self) {
        self.foreign_epochs.clear();
    }
}

impl Buffered {
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Native { position, .. } | Self::Partial(position) => Some(*position),
            Self::Foreign(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Native { event, .. } | Self::Foreign(event) => event.data().len(),
            Self::Partial(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The history's events were found by how far they are from the first one. If one before them could not be read, a
    /// forged event was compared with its neighbor and remained.
    #[test]
    fn a_held_event_is_corrected_though_an_event_before_it_cannot_be_read() {
        let epoch = Epoch::random();
        let at = |offset| Position { epoch, offset };
        let mut subscriptions = SubscribedChannel::new(Channel::default(), Some(0), 0);
        for (offset, text) in [(3, "forged"), (4, "4"), (5, "unknown"), (6, "forged")] {
            let buffered = Buffered::Native { position: at(offset), event: Event::text(text) };
            subscriptions.buffer(buffered, &mut 0, &Counters::default());
        }
        let events = [1, 3, 4, 6].map(|offset| PastEvent::new(at(offset), Event::text(offset.to_string())));
        assert_eq!(subscriptions.correct(epoch, &events), [at(3), at(6)]);
        let texts = subscriptions.buffered().iter().map(|buffered| match buffered {
            Buffered::Native { event, .. } => event.data().to_owned(),
            other => panic!("{other:?}"),
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["3", "4", "unknown", "6"]);
        assert_eq!(subscriptions.correct(Epoch::random(), &events), []);
    }
}
