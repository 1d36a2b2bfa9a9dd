//! Settling: once a log is filled, what was held back is put behind it, and the channel goes live.
//!
//! Called by whoever filled it, in a task beside the one that reads the socket. Until nothing is held back any more, what
//! arrives is held back too, so the two never put into a log at once.

use tidecast::{
    Epoch, Position,
    broker::{Deliveries, Head, PastEvent},
};

use super::{
    Name, Subscriptions,
    arrival::{Applied, apply},
    channel::{BackfillTask, Buffered, LiveFrom, Phase},
};
use crate::stats::count;

/// What came of letting a channel go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoLive {
    /// It is live, or somebody else's business by now.
    Done,
    /// What was held back does not follow: once more.
    Retry,
}

impl Subscriptions {
    /// Begins a turn of filling: what Redis answers from now on knows of everything that has arrived by now. `false` if
    /// filling is no longer wanted.
    pub(crate) fn begin_round(&self, fill: &mut BackfillTask) -> bool {
        let mut state = self.state.lock();
        let Some(known) = state.current(fill) else { return false };
        known.repeat = false;
        fill.buffered_before = known.buffered().len();
        fill.suspect = fill.suspect.into_iter().chain(known.take_suspect()).min();
        true
    }

    /// Has what is held back be what the history has: whoever may publish may have given an event the position of another.
    /// Positions up to `compared_to` are settled by that.
    pub(crate) fn verify_buffered(
        &self,
        fill: &mut BackfillTask,
        epoch: Epoch,
        events: &[PastEvent],
        compared_to: u64,
    ) {
        fill.compared_to = compared_to;
        let mut state = self.state.lock();
        let Some(known) = state.current(fill) else { return };
        for position in known.correct(epoch, events) {
            self.counters.count_conflict(&fill.channel, position);
        }
    }

    /// Returns whether readers must be told of a loss as the log goes from `here` to the head: an event arrived of another
    /// epoch, which Redis no longer has. A channel that stays silent has that told with its next event.
    pub(crate) fn has_lost(&self, fill: &BackfillTask, here: Position, head: &Head) -> bool {
        let mut state = self.state.lock();
        let Some(known) = state.current(fill) else { return false };
        known.detect_loss(fill.buffered_before, here, head);
        known.has_lost && (here.epoch != head.position.epoch || head.position.offset > 0)
    }

    /// Takes note that the log went on in another epoch without a reset.
    pub(crate) fn epoch_left(&self, fill: &BackfillTask, here: Position) {
        if let Some(known) = self.state.lock().current(fill) {
            known.left = Some(here);
        }
    }

    /// Takes note that readers were told of what was lost.
    pub(crate) fn loss_reported(&self, fill: &BackfillTask) {
        if let Some(known) = self.state.lock().current(fill) {
            known.has_lost = false;
        }
    }

    pub(crate) fn is_wanted(&self, fill: &BackfillTask) -> bool {
        self.state.lock().current(fill).is_some()
    }

    /// The first event of ours that is held back and need not be filled in, nor what follows it: what came in between by
    /// others keeps its place then, and what the history does not have is not missed.
    pub(crate) fn first_buffered(&self, fill: &BackfillTask) -> Option<Position> {
        let mut state = self.state.lock();
        let first = state.current(fill)?.buffered().iter().find(|buffered| buffered.position().is_some())?;
        // Of one that is looked up the history alone has all.
        if let Buffered::Native { position, .. } = first { Some(*position) } else { None }
    }

    /// Takes note of where readers begin that wait for the channel, until it goes live: also if that takes another fill.
    pub(crate) fn set_live_from(&self, fill: &BackfillTask, from: LiveFrom) {
        if let Some(known) = self.state.lock().current(fill) {
            known.live_from = Some(from.and(known.live_from));
        }
    }

    /// Has what was held back follow what was filled, and lets the channel go live. `head` is where Redis said that the
    /// channel stands.
    pub(crate) fn go_live(&self, fill: &BackfillTask, head: &Head) -> GoLive {
        let Some(deliveries) = self.deliveries() else { return GoLive::Done };
        let Some(outcome) = self.apply_buffered(deliveries, fill, head) else { return GoLive::Done };
        let known = self.state.lock().current(fill).map(|known| known.live_from);
        // Cut off meanwhile: whoever fills it next has it go live.
        let Some(live_from) = known else { return GoLive::Done };
        let LiveFrom { after, reset } = live_from.unwrap_or(LiveFrom { after: head.position, reset: None });
        // Also where it has to be filled once more: nothing after what is in the log is missed, and a channel that is
        // busy without end must not keep its readers waiting.
        deliveries.go_live_after(&fill.channel, after, reset);
        // The lock was not held for that, as it wakes readers. The channel may have been cut off meanwhile.
        let mut state = self.state.lock();
        let known = state.channels.get_mut(&fill.name);
        let is_heard = match &known {
            Some(known) if known.generation == fill.generation => known.phase != Phase::Unconfirmed,
            known => known.as_ref().is_some_and(|known| known.phase == Phase::Live),
        };
        if is_heard {
            known.into_iter().for_each(|known| known.live_from = None);
        } else {
            deliveries.suspend(&fill.channel);
        }
        outcome
    }

    /// `None` if filling is no longer wanted.
    fn apply_buffered(&self, deliveries: &Deliveries, fill: &BackfillTask, head: &Head) -> Option<GoLive> {
        let mut buffered_before = fill.buffered_before;
        // Bounded by what arrives meanwhile, which is slower than being put into a log.
        loop {
            let buffered = {
                let mut state = self.state.lock();
                let state = &mut *state;
                let known = state.channels.get_mut(&fill.name).filter(|known| known.generation == fill.generation)?;
                if known.buffered().is_empty() {
                    // What was held back need not reach that far: some of it may be from before the subscription was made
                    // anew. And a log without a reader may be forgotten at any time; the one after it has to be opened.
                    let is_there = |here: Position| {
                        let is_far_enough = fill.may_lag || here.offset >= head.position.offset;
                        here.epoch == head.position.epoch && is_far_enough
                    };
                    if known.repeat || !deliveries.position(&fill.channel).is_some_and(is_there) {
                        return Some(GoLive::Retry);
                    }
                    known.go_live(fill.is_current);
                    return Some(GoLive::Done);
                }
                known.take_buffered(&mut state.buffered_bytes)
            };
            let mut buffered = buffered.into_iter();
            while let Some(next) = buffered.next() {
                let answered = buffered_before > 0;
                buffered_before = buffered_before.saturating_sub(1);
                if let Some(position) = next.position()
                    && self.is_past(&fill.name, position, head, answered)
                {
                    continue;
                }
                // What the history has and was not compared yet is asked for first.
                let is_compared = |position: Position| {
                    let is_known = position.epoch == head.position.epoch && position.offset <= head.position.offset;
                    !is_known || position.offset <= fill.compared_to
                };
                let applied = match next.position() {
                    Some(position) if !is_compared(position) => Applied::OutOfOrder(next),
                    _ => apply(deliveries, &fill.channel, next),
                };
                match applied {
                    Applied::Done => {}
                    Applied::OutOfOrder(next) => {
                        self.requeue(fill, [next].into_iter().chain(buffered));
                        return Some(GoLive::Retry);
                    }
                    Applied::Conflict(position) => {
                        self.counters.count_conflict(&fill.channel, position);
                        let mut state = self.state.lock();
                        if let Some(known) = state.current(fill) {
                            known.suspect(position.offset);
                            known.repeat = true;
                        }
                    }
                }
            }
        }
    }

    /// Whether Redis, as it answered, has no such event to come. `answered`: it was asked after the event had arrived.
    fn is_past(&self, name: &Name, position: Position, head: &Head, answered: bool) -> bool {
        if position.epoch == head.position.epoch {
            // One that Redis has lost, though its next event is still to tell so by another epoch. Waiting for it would be
            // in vain; and if it was not lost after all, the next one brings it in.
            return answered && position.offset > head.position.offset;
        }
        // Of an epoch that has ended: Redis has it under another position, or has lost it.
        let has_ended = head.lineage.iter().any(|(epoch, _)| *epoch == position.epoch);
        has_ended || self.is_foreign_epoch(name, position.epoch, answered)
    }

    /// Whether an event is of a hub of another database or key prefix: pub/sub knows neither, its epoch does.
    fn is_foreign_epoch(&self, name: &Name, epoch: Epoch, answered: bool) -> bool {
        let mut state = self.state.lock();
        let Some(known) = state.channels.get_mut(name) else { return false };
        if answered {
            known.add_foreign_epoch(epoch);
        }
        let is_foreign_epoch = known.is_foreign_epoch(epoch);
        if is_foreign_epoch {
            count(&self.counters.elsewhere);
        }
        is_foreign_epoch
    }

    /// Puts back in front what was taken, in its order.
    fn requeue(&self, fill: &BackfillTask, taken: impl Iterator<Item = Buffered>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(known) = state.channels.get_mut(&fill.name).filter(|known| known.generation == fill.generation) else {
            return;
        };
        let newer = known.take_buffered(&mut state.buffered_bytes);
        for buffered in taken.chain(newer) {
            known.buffer(buffered, &mut state.buffered_bytes, &self.counters);
        }
    }
}
