//! The channels that this node listens to, each with where it stands, and what is done with what arrives there.
//!
//! A channel is first subscribed to, then its log is filled, and then it is live: what arrives goes straight into the
//! log, in the task that reads the socket, without a queue. Whatever arrives before that is held back. What does not
//! follow the log has the channel filled again. Nothing here waits or speaks to Redis: `ear` and `fill` do.

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

use self::channel::{Heard, Phase};
use crate::stats::Counters;

pub(crate) use self::{
    arrival::Call,
    channel::{LiveFrom, ToFill},
    go_live::Settled,
};

/// What a channel is published under: its name as it is, or one of our own.
pub(crate) type Name = Arc<[u8]>;

/// See the module.
#[derive(Debug)]
pub(crate) struct HeardChannels {
    /// Never held while readers are woken. A channel's log is locked under it, never the other way round.
    state: Mutex<State>,
    deliveries: OnceLock<Deliveries>,
    pub(crate) counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<Name, Heard>,
    /// How many turns have begun, in all channels. A channel that is read again after it was released begins another, so
    /// that nobody fills it on behalf of who was there before.
    turns: u64,
    /// Bytes that are held back, in all channels.
    held_bytes: usize,
}

impl HeardChannels {
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
    pub(crate) fn add(&self, name: &Name, channel: &Channel, ear: usize) -> bool {
        let mut state = self.state.lock();
        let turn = state.next_turn();
        let Some(known) = state.channels.get_mut(name) else {
            state.channels.insert(name.clone(), Heard::new(channel.clone(), ear, turn));
            return true;
        };
        // A log that was forgotten meanwhile begins anew, and has to be opened.
        let is_open = self.deliveries().is_none_or(|deliveries| deliveries.position(channel).is_some());
        let begins = known.phase == Phase::Live && !is_open;
        if begins {
            known.begin(ear, turn);
        }
        begins
    }

    /// Removes a channel, unless somebody reads it again. Answers with the ear that listened.
    pub(crate) fn remove(&self, name: &Name, channel: &Channel) -> Option<usize> {
        let mut state = self.state.lock();
        // Asked under the lock, so that whoever reads it from now on is added after this.
        if !self.deliveries()?.suspend_if_unread(channel) {
            return None;
        }
        let mut removed = state.channels.remove(name)?;
        removed.take_held(&mut state.held_bytes);
        Some(removed.ear)
    }

    /// Whether a channel is listened to, so that unsubscribing from it would be wrong.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.state.lock().channels.contains_key(name)
    }

    /// All channels of an ear that was cut off: none is live, and those that begin to read wait.
    pub(crate) fn cut_off(&self, ear: usize) -> Vec<Name> {
        let mut state = self.state.lock();
        let State { channels, turns, .. } = &mut *state;
        let of_ear = channels.iter_mut().filter(|(_, known)| known.ear == ear);
        of_ear
            .map(|(name, known)| {
                *turns += 1;
                self.begin(known, ear, *turns);
                name.clone()
            })
            .collect()
    }

    /// Gives a channel to another ear.
    pub(crate) fn assign(&self, name: &Name, ear: usize) {
        let mut state = self.state.lock();
        let turn = state.next_turn();
        if let Some(known) = state.channels.get_mut(name) {
            self.begin(known, ear, turn);
        }
    }

    /// Every channel's name, with its ear.
    pub(crate) fn names(&self) -> Vec<(Name, usize)> {
        self.state.lock().channels.iter().map(|(name, known)| (name.clone(), known.ear)).collect()
    }

    /// Redis has confirmed the subscription to an ear: from now on nothing that is published is missed, so the log can be
    /// filled.
    pub(crate) fn confirmed(&self, name: &Name, ear: usize) -> Option<ToFill> {
        let mut state = self.state.lock();
        let known = state.channels.get_mut(name)?;
        (known.phase == Phase::Unconfirmed && known.ear == ear).then(|| known.begin_filling(name))
    }

    /// Has a channel's log filled, once more if that is under way.
    pub(crate) fn refill(&self, name: &Name) -> Option<ToFill> {
        let mut state = self.state.lock();
        let known = state.channels.get_mut(name)?;
        // Redis may have answered already, before there was a reason to ask.
        known.once_more |= known.phase == Phase::Filling;
        (known.phase == Phase::Live).then(|| known.begin_filling(name))
    }

    /// Has a channel filled that went live that long ago.
    pub(crate) fn refill_older(&self, name: &Name, age: Duration) -> Option<ToFill> {
        let mut state = self.state.lock();
        let known = state.channels.get_mut(name).filter(|known| known.is_live_for(age))?;
        Some(known.begin_filling(name))
    }

    /// The live channels of an ear on which nothing has arrived since this was last asked.
    pub(crate) fn silent(&self, ear: usize) -> Vec<(Name, Channel)> {
        let mut silent = Vec::new();
        let mut state = self.state.lock();
        let live = |known: &Heard| known.ear == ear && known.phase == Phase::Live;
        for (name, known) in state.channels.iter_mut().filter(|(_, known)| live(known)) {
            if mem::replace(&mut known.silent, true) {
                silent.push((name.clone(), known.channel.clone()));
            }
        }
        silent
    }

    /// Whether a channel is live and nothing has arrived since then.
    pub(crate) fn is_silent(&self, name: &Name) -> bool {
        let state = self.state.lock();
        state.channels.get(name).is_some_and(|known| known.phase == Phase::Live && known.silent)
    }

    /// Has what comes from elsewhere looked up again. Called every few seconds, as a server that knew less than another
    /// may have said so: after a failover, say, the one that is no longer the primary.
    pub(crate) fn forget_strangers(&self, ear: usize) {
        let mut state = self.state.lock();
        state.channels.values_mut().filter(|known| known.ear == ear).for_each(Heard::forget_strangers);
    }

    /// Under the lock, so that nobody has it live in between.
    fn begin(&self, known: &mut Heard, ear: usize, turn: u64) {
        known.begin(ear, turn);
        if let Some(deliveries) = self.deliveries() {
            deliveries.suspend(&known.channel);
        }
    }
}

impl State {
    fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// The channel, if whoever fills it is not too late.
    fn wanted(&mut self, fill: &ToFill) -> Option<&mut Heard> {
        self.channels.get_mut(&fill.name).filter(|known| known.turn == fill.turn)
    }
}
