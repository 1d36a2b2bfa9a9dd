//! The channels that this node listens to, each with where it stands, and what is done with what arrives there.
//!
//! A channel is first subscribed to, then its log is filled, and then it is live: what arrives goes straight into the
//! log, in the task that reads the socket, without a queue. Whatever arrives before that is held back. What does not
//! follow the log has the channel filled again. Nothing here waits or speaks to Redis: `worker` and `fill` do.

mod arrival;
mod channel;
mod go_live;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tidecast::{Channel, broker::Deliveries};

use self::channel::{Phase, SubscribedChannel};
use crate::stats::Counters;

pub(crate) use self::{
    arrival::Call,
    channel::{BackfillTask, LiveFrom},
    go_live::GoLive,
};

/// What a channel is published under: its name as it is, or one of our own.
pub(crate) type Name = Arc<[u8]>;

/// Numbers the pub/sub workers in the order of their creation.
pub(crate) type WorkerId = usize;

/// See the module.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// Never held while readers are woken. A channel's log is locked under it, never the other way round.
    state: Mutex<State>,
    deliveries: OnceLock<Deliveries>,
    pub(crate) counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<Name, SubscribedChannel>,
    /// How many turns have begun, in all channels. A channel that is read again after it was released begins another, so
    /// that nobody fills it on behalf of who was there before.
    generations: u64,
    /// Bytes that are held back, in all channels.
    buffered_bytes: usize,
}

impl Subscriptions {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), deliveries: OnceLock::new(), counters: Counters::default() }
    }

    /// Names what to deliver to; `false` if that was done before.
    pub(crate) fn start(&self, deliveries: Deliveries) -> bool {
        self.deliveries.set(deliveries).is_ok()
    }

    pub(crate) fn deliveries(&self) -> Option<&Deliveries> {
        self.deliveries.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().channels.len()
    }

    /// Adds a channel that is to be listened to by an ear. Tells whether that is new.
    pub(crate) fn add(&self, name: &Name, channel: &Channel, worker: Option<WorkerId>) -> bool {
        let mut state = self.state.lock();
        let generation = state.next_generation();
        let Some(known) = state.channels.get_mut(name) else {
            state.channels.insert(name.clone(), SubscribedChannel::new(channel.clone(), worker, generation));
            return true;
        };
        // A log that was forgotten meanwhile begins anew, and has to be opened.
        let is_open = self.deliveries().is_none_or(|deliveries| deliveries.position(channel).is_some());
        let begins = known.phase == Phase::Live && !is_open;
        if begins {
            known.begin(worker, generation);
        }
        begins
    }

    /// Removes a channel, unless somebody reads it again. Answers with the ear that listened.
    pub(crate) fn remove(&self, name: &Name, channel: &Channel) -> Option<WorkerId> {
        let mut state = self.state.lock();
        // Asked under the lock, so that whoever reads it from now on is added after this.
        if !self.deliveries()?.suspend_if_unread(channel) {
            return None;
        }
        let mut removed = state.channels.remove(name)?;
        removed.take_buffered(&mut state.buffered_bytes);
        removed.worker
    }

    /// Whether a channel is listened to, so that unsubscribing from it would be wrong.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.state.lock().channels.contains_key(name)
    }

    /// All channels of an ear that was cut off: none is live, and those that begin to read wait.
    pub(crate) fn disconnected(&self, worker: WorkerId) -> Vec<Name> {
        let mut state = self.state.lock();
        let State { channels, generations, .. } = &mut *state;
        let of_ear = channels.iter_mut().filter(|(_, known)| known.worker == Some(worker));
        of_ear
            .map(|(name, known)| {
                *generations += 1;
                self.begin(known, Some(worker), *generations);
                name.clone()
            })
            .collect()
    }

    /// Gives a channel to another ear.
    pub(crate) fn assign(&self, name: &Name, worker: Option<WorkerId>) {
        let mut state = self.state.lock();
        let generation = state.next_generation();
        if let Some(known) = state.channels.get_mut(name) {
            self.begin(known, worker, generation);
        }
    }

    /// Every channel's name, with its ear.
    pub(crate) fn names(&self) -> Vec<(Name, Option<WorkerId>)> {
        self.state.lock().channels.iter().map(|(name, known)| (name.clone(), known.worker)).collect()
    }

    /// Redis has confirmed the subscription to an ear: from now on nothing that is published is missed, so the log can be
    /// filled.
    pub(crate) fn confirmed(&self, name: &Name, worker: WorkerId) -> Option<BackfillTask> {
        let mut state = self.state.lock();
        let known = state.channels.get_mut(name)?;
        (known.phase == Phase::Unconfirmed && known.worker == Some(worker)).then(|| known.begin_backfill(name))
    }

    /// Has a channel's log filled, once more if that is under way.
    pub(crate) fn request_backfill(&self, name: &Name) -> Option<BackfillTask> {
        let mut state = self.state.lock();
        let known = state.channels.get_mut(name)?;
        // Redis may have answered already, before there was a reason to ask.
        known.repeat |= known.phase == Phase::Backfilling;
        (known.phase == Phase::Live).then(|| known.begin_backfill(name))
    }

    /// Has a channel filled that went live that long ago.
    pub(crate) fn backfill_if_older(&self, name: &Name, age: Duration) -> Option<BackfillTask> {
        let mut state = self.state.lock();
        let known = state.channels.get_mut(name).filter(|known| known.is_live_for(age))?;
        Some(known.begin_backfill(name))
    }

    /// The live channels of an ear on which nothing has arrived since this was last asked.
    pub(crate) fn idle(&self, worker: WorkerId) -> Vec<(Name, Channel)> {
        let mut idle = Vec::new();
        let mut state = self.state.lock();
        let live = |known: &SubscribedChannel| known.worker == Some(worker) && known.phase == Phase::Live;
        for (name, known) in state.channels.iter_mut().filter(|(_, known)| live(known)) {
            if mem::replace(&mut known.idle, true) {
                idle.push((name.clone(), known.channel.clone()));
            }
        }
        idle
    }

    /// Whether a channel is live and nothing has arrived since then.
    pub(crate) fn is_idle(&self, name: &Name) -> bool {
        let state = self.state.lock();
        state.channels.get(name).is_some_and(|known| known.phase == Phase::Live && known.idle)
    }

    /// Has what comes from elsewhere looked up again. Called every few seconds, as a server that knew less than another
    /// may have said so: after a failover, say, the one that is no longer the primary.
    pub(crate) fn clear_foreign_epochs(&self, worker: WorkerId) {
        let mut state = self.state.lock();
        state
            .channels
            .values_mut()
            .filter(|known| known.worker == Some(worker))
            .for_each(SubscribedChannel::clear_foreign_epochs);
    }

    /// Under the lock, so that nobody has it live in between.
    fn begin(&self, known: &mut SubscribedChannel, worker: Option<WorkerId>, generation: u64) {
        known.begin(worker, generation);
        if let Some(deliveries) = self.deliveries() {
            deliveries.suspend(&known.channel);
        }
    }
}

impl State {
    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    /// The channel, if whoever fills it is not too late.
    fn current(&mut self, fill: &BackfillTask) -> Option<&mut SubscribedChannel> {
        self.channels.get_mut(&fill.name).filter(|known| known.generation == fill.generation)
    }
}
