//! The end of a backfill: buffered messages are appended to the log, and the channel goes live.
//!
//! Runs beside the task that reads the socket. Until nothing is buffered any more, that task buffers what arrives, so the
//! two never append to the same log at once.

use tidecast::{
    Epoch, Position,
    broker::{Deliveries, Head, PastEvent},
};

use super::{
    PubSubName, Subscriptions,
    backfill_task::{BackfillTask, LiveFrom},
    channel::Phase,
    message::{MessageOutcome, PubSubMessage, append},
};
use crate::stats::count;

/// The outcome of [`Subscriptions::go_live`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoLive {
    /// The channel is live, or the task is stale.
    Done,
    /// A buffered message does not follow the log: another round is needed.
    Retry,
}

impl Subscriptions {
    /// Begins a round: the reply of Redis will know everything that has arrived by now. Returns whether the task is
    /// current.
    pub(crate) fn begin_round(&self, task: &mut BackfillTask) -> bool {
        let mut table = self.table.lock();
        let Some(subscribed) = table.current(task) else { return false };
        subscribed.read_again = false;
        task.buffered_before = subscribed.buffered().len();
        task.verify_from = task.verify_from.into_iter().chain(subscribed.take_verify_from()).min();
        true
    }

    /// Replaces buffered events by the history's at the same positions, up to `verified_to`: a program that may publish on Redis
    /// can forge a position.
    pub(crate) fn correct_buffered(
        &self,
        task: &mut BackfillTask,
        epoch: Epoch,
        events: &[PastEvent],
        verified_to: u64,
    ) {
        task.verified_to = verified_to;
        let mut table = self.table.lock();
        let Some(subscribed) = table.current(task) else { return };
        for position in subscribed.correct(epoch, events) {
            self.counters.count_conflict(&task.channel, position);
        }
    }

    /// Returns whether readers must be told of a loss as the log goes from `here` to the head: an event of another epoch
    /// arrived that Redis no longer has. On a channel that stays empty the next event tells it.
    pub(crate) fn has_lost(&self, task: &BackfillTask, here: Position, head: &Head) -> bool {
        let mut table = self.table.lock();
        let Some(subscribed) = table.current(task) else { return false };
        subscribed.detect_loss(task.buffered_before, here, head);
        subscribed.has_lost && (here.epoch != head.position.epoch || head.position.offset > 0)
    }

    /// Records that readers were told of the loss.
    pub(crate) fn loss_reported(&self, task: &BackfillTask) {
        if let Some(subscribed) = self.table.lock().current(task) {
            subscribed.has_lost = false;
        }
    }

    /// Records that the log, at `here`, continued in another epoch without a reset.
    pub(crate) fn epoch_left(&self, task: &BackfillTask, here: Position) {
        if let Some(subscribed) = self.table.lock().current(task) {
            subscribed.left_at = Some(here);
        }
    }

    pub(crate) fn is_current(&self, task: &BackfillTask) -> bool {
        self.table.lock().current(task).is_some()
    }

    /// Returns the first buffered position if the backfill may stop before it. Foreign events between the buffered ones
    /// then keep their place, and an event that the history lacks is not missed.
    pub(crate) fn first_buffered(&self, task: &BackfillTask) -> Option<Position> {
        let mut table = self.table.lock();
        let first = table.current(task)?.buffered().iter().find(|message| message.position().is_some())?;
        // A partial event has to be read from the history.
        if let PubSubMessage::Native { position, .. } = first { Some(*position) } else { None }
    }

    /// Records where waiting readers begin, until the channel goes live, even if that takes another backfill.
    pub(crate) fn set_live_from(&self, task: &BackfillTask, from: LiveFrom) {
        if let Some(subscribed) = self.table.lock().current(task) {
            subscribed.live_from = Some(from.merge(subscribed.live_from));
        }
    }

    /// Appends what was buffered to the backfilled log and makes the channel live. `head` is the position of the channel
    /// in Redis.
    pub(crate) fn go_live(&self, task: &BackfillTask, head: &Head) -> GoLive {
        let Some(deliveries) = self.deliveries() else { return GoLive::Done };
        let Some(outcome) = self.append_buffered(deliveries, task, head) else { return GoLive::Done };
        let live_from = self.table.lock().current(task).map(|subscribed| subscribed.live_from);
        // Stale by now: the next backfill makes the channel live.
        let Some(live_from) = live_from else { return GoLive::Done };
        let LiveFrom { after, reset } = live_from.unwrap_or(LiveFrom { after: head.position, reset: None });
        // Even before another round: nothing after the log's head is missed, and a channel that is never quiet must not
        // keep its readers waiting.
        deliveries.go_live_after(&task.channel, after, reset);
        // The lock was released for that, because it wakes readers. The connection may have been lost meanwhile.
        let mut table = self.table.lock();
        let subscribed = table.channels.get_mut(&task.name);
        let is_connected = subscribed.as_ref().is_some_and(|subscribed| match subscribed.phase {
            Phase::Unconfirmed => false,
            Phase::Backfilling => subscribed.generation == task.generation,
            Phase::Live => true,
        });
        match subscribed {
            Some(subscribed) if is_connected => subscribed.live_from = None,
            _ => deliveries.suspend(&task.channel),
        }
        outcome
    }

    /// Appends what was buffered, and marks the channel as live once nothing is. Returns `None` if the task is stale.
    fn append_buffered(&self, deliveries: &Deliveries, task: &BackfillTask, head: &Head) -> Option<GoLive> {
        let mut known_to_redis = task.buffered_before;
        // Bounded: messages arrive more slowly than they are appended.
        loop {
            let buffered = {
                let mut table = self.table.lock();
                let table = &mut *table;
                let subscribed = table.channels.get_mut(&task.name);
                let subscribed = subscribed.filter(|subscribed| subscribed.generation == task.generation)?;
                if subscribed.buffered().is_empty() {
                    // The buffered messages may end before the head, if they arrived before the subscription began
                    // again. A log without a reader may be dropped at any time, and its successor is not open.
                    let is_there = |here: Position| {
                        let is_far_enough = task.may_lag || here.offset >= head.position.offset;
                        here.epoch == head.position.epoch && is_far_enough
                    };
                    if subscribed.read_again || !deliveries.position(&task.channel).is_some_and(is_there) {
                        return Some(GoLive::Retry);
                    }
                    subscribed.go_live(head.position.epoch, task.is_current);
                    return Some(GoLive::Done);
                }
                subscribed.take_buffered(&mut table.buffered_bytes)
            };
            let mut buffered = buffered.into_iter();
            while let Some(message) = buffered.next() {
                let is_known = known_to_redis > 0;
                known_to_redis = known_to_redis.saturating_sub(1);
                if let Some(position) = message.position()
                    && self.is_obsolete(&task.name, position, head, is_known)
                {
                    continue;
                }
                let outcome = match message.position() {
                    Some(position) if must_read_first(deliveries, task, head, position) => {
                        MessageOutcome::OutOfOrder(message)
                    }
                    _ => append(deliveries, &task.channel, message),
                };
                match outcome {
                    MessageOutcome::Applied => {}
                    MessageOutcome::OutOfOrder(message) => {
                        self.requeue(task, [message].into_iter().chain(buffered));
                        return Some(GoLive::Retry);
                    }
                    MessageOutcome::Conflict(position) => {
                        self.counters.count_conflict(&task.channel, position);
                        let mut table = self.table.lock();
                        if let Some(subscribed) = table.current(task) {
                            subscribed.verify_from(position.offset);
                            subscribed.read_again = true;
                        }
                    }
                }
            }
        }
    }

    /// Returns whether Redis has no event at a position to wait for. `is_known`: the event arrived before Redis was asked.
    fn is_obsolete(&self, name: &PubSubName, position: Position, head: &Head, is_known: bool) -> bool {
        if position.epoch == head.position.epoch {
            // Redis has lost the event, and its next one will begin another epoch. If it was not lost after all, the next
            // event reads it.
            return is_known && position.offset > head.position.offset;
        }
        // In an ended epoch, Redis has the event under another position or has lost it.
        let has_ended = head.lineage.iter().any(|(epoch, _)| *epoch == position.epoch);
        has_ended || self.is_foreign_epoch(name, position.epoch, is_known)
    }

    /// Returns whether an event is of a hub of another database or key prefix. Pub/sub does not keep them apart; their
    /// epochs do.
    fn is_foreign_epoch(&self, name: &PubSubName, epoch: Epoch, is_known: bool) -> bool {
        let mut table = self.table.lock();
        let Some(subscribed) = table.channels.get_mut(name) else { return false };
        if is_known {
            subscribed.add_foreign_epoch(epoch);
        }
        let is_foreign = subscribed.is_foreign_epoch(epoch);
        if is_foreign {
            count(&self.counters.elsewhere);
        }
        is_foreign
    }

    /// Puts taken messages back in front, in their order.
    fn requeue(&self, task: &BackfillTask, taken: impl Iterator<Item = PubSubMessage>) {
        let mut table = self.table.lock();
        let table = &mut *table;
        let subscribed = table.channels.get_mut(&task.name);
        let Some(subscribed) = subscribed.filter(|subscribed| subscribed.generation == task.generation) else { return };
        let newer = subscribed.take_buffered(&mut table.buffered_bytes);
        for message in taken.chain(newer) {
            subscribed.buffer(message, &mut table.buffered_bytes, &self.counters);
        }
    }
}

/// Returns whether a buffered event must be read from the history before it is appended: the history has its position and
/// was not compared yet, or the log is empty in another epoch, and would accept the event as its first.
fn must_read_first(deliveries: &Deliveries, task: &BackfillTask, head: &Head, position: Position) -> bool {
    let is_in_history = position.epoch == head.position.epoch && position.offset <= head.position.offset;
    let is_of_another = |here: Position| here.offset == 0 && here.epoch != position.epoch;
    is_in_history && position.offset > task.verified_to || deliveries.position(&task.channel).is_some_and(is_of_another)
}
