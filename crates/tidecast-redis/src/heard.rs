//! The channels that this node listens to, each with where it stands, and what is done with what arrives there.
//!
//! A channel is first subscribed to, then its log is filled, and then it is live: what arrives goes straight into the
//! log, in the task that reads the socket, without a queue. Whatever arrives before that is held back. What does not
//! follow the log has the channel filled again. Nothing here waits or speaks to Redis: `ear` and `fill` do.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use tidecast::{
    Channel, Epoch, Event, Position,
    broker::{Deliveries, Encoded, Head, Placed},
};

use crate::{
    codec::{self, Arrival, Poison},
    stats::{Counters, count},
};

/// What a channel is published under: its name as it is, or one of our own.
pub(crate) type Name = Arc<[u8]>;

/// Most arrivals that are held back for one channel while it is filled. What is ours and beyond it is in the history;
/// what is foreign is lost, and counted.
const HELD_MAX: usize = 1_024;

/// Most bytes of them.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many epochs of other databases are remembered for one channel, so that not every event of one is looked up.
const STRANGERS_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct HeardChannels {
    heard: Mutex<HashMap<Name, Heard>>,
    deliveries: OnceLock<Deliveries>,
    pub(crate) counters: Counters,
}

#[derive(Debug)]
struct Heard {
    channel: Channel,
    /// Which connection listens to it.
    ear: usize,
    phase: Phase,
    /// Changes whenever the phase begins anew, so that who fills it for an earlier one sees that it is too late.
    turn: u64,
    held: VecDeque<Held>,
    held_bytes: usize,
    /// One of ours could not be held back: the history has it.
    overflowed: bool,
    strangers: VecDeque<Epoch>,
    /// Nothing has arrived since the heads were last compared.
    silent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Redis has not confirmed the subscription.
    Unconfirmed,
    /// The log is being filled.
    Filling,
    Live,
}

#[derive(Debug)]
enum Held {
    Ours {
        position: Position,
        event: Event,
    },
    /// One of ours of which only the history has all.
    Named(Position),
    Foreign(Event),
}

/// A channel whose log is to be filled.
#[derive(Debug, Clone)]
pub(crate) struct ToFill {
    pub(crate) name: Name,
    pub(crate) channel: Channel,
    turn: u64,
    /// How many arrivals were held back before Redis was asked.
    older: usize,
}

/// What an arrival calls for.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Nothing,
    /// The log lacks something that comes before it.
    Fill(ToFill),
}

/// What came of letting a channel go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is live, or somebody else's business by now.
    Done,
    /// What was held back does not follow: once more.
    Again,
}

impl HeardChannels {
    pub(crate) fn new() -> Self {
        Self { heard: Mutex::default(), deliveries: OnceLock::new(), counters: Counters::default() }
    }

    /// Names what to deliver to; `false` if that was done before.
    pub(crate) fn start(&self, deliveries: Deliveries) -> bool {
        self.deliveries.set(deliveries).is_ok()
    }

    pub(crate) fn deliveries(&self) -> Option<&Deliveries> {
        self.deliveries.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.heard.lock().len()
    }

    /// Adds a channel that is to be listened to by an ear. Tells whether that is new.
    pub(crate) fn add(&self, name: &Name, channel: &Channel, ear: usize) -> bool {
        let mut heard = self.heard.lock();
        if let Some(known) = heard.get_mut(name) {
            // A log that was forgotten meanwhile begins anew, and has to be opened.
            let is_open = self.deliveries().is_none_or(|deliveries| deliveries.position(channel).is_some());
            if known.phase != Phase::Live || is_open {
                return false;
            }
            known.begin(Phase::Unconfirmed);
            return true;
        }
        heard.insert(name.clone(), Heard::new(channel.clone(), ear));
        true
    }

    /// Removes a channel, unless somebody reads it again. Answers with the ear that listened.
    pub(crate) fn remove(&self, name: &Name, channel: &Channel) -> Option<usize> {
        let mut heard = self.heard.lock();
        // Asked under the lock, so that whoever reads it from now on is added after this.
        if !self.deliveries()?.let_go(channel) {
            return None;
        }
        heard.remove(name).map(|heard| heard.ear)
    }

    /// Whether a channel is listened to, so that unsubscribing from it would be wrong.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.heard.lock().contains_key(name)
    }

    /// All channels of an ear that was cut off: none is live, and those that begin to read wait.
    pub(crate) fn cut_off(&self, ear: usize) -> Vec<Name> {
        let mut cut = Vec::new();
        {
            let mut heard = self.heard.lock();
            for (name, heard) in heard.iter_mut().filter(|(_, heard)| heard.ear == ear) {
                heard.begin(Phase::Unconfirmed);
                cut.push((name.clone(), heard.channel.clone()));
            }
        }
        let Some(deliveries) = self.deliveries() else { return Vec::new() };
        cut.into_iter()
            .map(|(name, channel)| {
                deliveries.suspend(&channel);
                name
            })
            .collect()
    }

    /// Gives a channel to another ear.
    pub(crate) fn assign(&self, name: &Name, ear: usize) {
        if let Some(heard) = self.heard.lock().get_mut(name) {
            heard.ear = ear;
            heard.begin(Phase::Unconfirmed);
        }
    }

    /// Every channel's name, with its ear.
    pub(crate) fn names(&self) -> Vec<(Name, usize)> {
        self.heard.lock().iter().map(|(name, heard)| (name.clone(), heard.ear)).collect()
    }

    /// Redis has confirmed the subscription: from now on nothing that is published is missed, so the log can be filled.
    pub(crate) fn confirmed(&self, name: &Name) -> Option<ToFill> {
        let mut heard = self.heard.lock();
        let known = heard.get_mut(name).filter(|known| known.phase == Phase::Unconfirmed)?;
        known.phase = Phase::Filling;
        Some(known.to_fill(name))
    }

    /// Has a live channel's log filled.
    pub(crate) fn refill(&self, name: &Name) -> Option<ToFill> {
        let mut heard = self.heard.lock();
        let known = heard.get_mut(name).filter(|known| known.phase == Phase::Live)?;
        known.phase = Phase::Filling;
        Some(known.to_fill(name))
    }

    /// Begins a turn of filling: what Redis answers from now on knows of everything that is held back by now. `false` if
    /// filling is no longer wanted.
    pub(crate) fn begin_fill(&self, fill: &mut ToFill) -> bool {
        let heard = self.heard.lock();
        let known = heard.get(&fill.name).filter(|known| known.turn == fill.turn);
        fill.older = known.map_or(0, |known| known.held.len());
        known.is_some()
    }

    /// The live channels of an ear on which nothing has arrived since this was last asked.
    pub(crate) fn silent(&self, ear: usize) -> Vec<(Name, Channel)> {
        let mut silent = Vec::new();
        let mut heard = self.heard.lock();
        for (name, known) in heard.iter_mut().filter(|(_, known)| known.ear == ear && known.phase == Phase::Live) {
            if mem::replace(&mut known.silent, true) {
                silent.push((name.clone(), known.channel.clone()));
            }
        }
        silent
    }

    /// Takes what was published under a name.
    pub(crate) fn arrive(&self, name: &[u8], payload: &[u8]) -> Call {
        let Some(deliveries) = self.deliveries() else { return Call::Nothing };
        let known = {
            let mut heard = self.heard.lock();
            heard.get_key_value(name).map(|(name, known)| (name.clone(), known.channel.clone())).inspect(|(name, _)| {
                if let Some(known) = heard.get_mut(name) {
                    known.silent = false;
                }
            })
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

    /// Has what was held back follow what was filled, and lets the channel go live. `head` is where Redis said that the
    /// channel stands.
    pub(crate) fn settle(&self, fill: &ToFill, head: &Head) -> Settled {
        let Some(deliveries) = self.deliveries() else { return Settled::Done };
        let mut older = fill.older;
        // Bounded by what arrives meanwhile, which is slower than being put into a log.
        loop {
            let held = {
                let mut heard = self.heard.lock();
                let Some(known) = heard.get_mut(&fill.name).filter(|known| known.turn == fill.turn) else {
                    return Settled::Done;
                };
                if known.held.is_empty() && mem::take(&mut known.overflowed) {
                    return Settled::Again;
                }
                if known.held.is_empty() {
                    known.phase = Phase::Live;
                    known.silent = false;
                    break;
                }
                known.held_bytes = 0;
                mem::take(&mut known.held)
            };
            let mut held = held.into_iter();
            while let Some(next) = held.next() {
                let answered = older > 0;
                older = older.saturating_sub(1);
                if let Some(position) = next.position()
                    && position.epoch != head.position.epoch
                {
                    if head.lineage.iter().any(|(epoch, _)| *epoch == position.epoch) {
                        // Of an epoch that has ended: Redis has it under another position, or has lost it.
                        continue;
                    }
                    if answered {
                        self.ignore(&fill.name, position.epoch);
                        continue;
                    }
                }
                if let Some(next) = place(deliveries, &fill.channel, next) {
                    self.give_back(fill, next, held);
                    return Settled::Again;
                }
            }
        }
        deliveries.go_live(&fill.channel);
        Settled::Done
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
            let mut heard = self.heard.lock();
            let Some(known) = heard.get_mut(name) else { return Call::Nothing };
            if known.phase != Phase::Live {
                known.hold(arrival, &self.counters);
                return Call::Nothing;
            }
            if arrival.position().is_some_and(|position| known.strangers.contains(&position.epoch)) {
                count(&self.counters.elsewhere);
                return Call::Nothing;
            }
        }
        // The lock is let go of: this wakes readers. What arrives next on this channel comes from this same task.
        let Some(deliveries) = self.deliveries() else { return Call::Nothing };
        let Some(arrival) = place(deliveries, channel, arrival) else { return Call::Nothing };
        let mut heard = self.heard.lock();
        let Some(known) = heard.get_mut(name) else { return Call::Nothing };
        known.hold(arrival, &self.counters);
        if known.phase != Phase::Live {
            return Call::Nothing;
        }
        known.phase = Phase::Filling;
        Call::Fill(known.to_fill(name))
    }

    /// An event that a hub of another database or key prefix published: pub/sub knows neither, its tail does.
    fn ignore(&self, name: &Name, stranger: Epoch) {
        count(&self.counters.elsewhere);
        if let Some(known) = self.heard.lock().get_mut(name)
            && !known.strangers.contains(&stranger)
        {
            known.strangers.truncate(STRANGERS_MAX - 1);
            known.strangers.push_front(stranger);
        }
    }

    /// Puts back in front what was taken, in its order.
    fn give_back(&self, fill: &ToFill, first: Held, rest: impl Iterator<Item = Held>) {
        if let Some(known) = self.heard.lock().get_mut(&fill.name).filter(|known| known.turn == fill.turn) {
            let newer = mem::take(&mut known.held);
            known.held_bytes = 0;
            for held in [first].into_iter().chain(rest).chain(newer) {
                known.hold(held, &self.counters);
            }
        }
    }
}

impl Heard {
    fn new(channel: Channel, ear: usize) -> Self {
        Self {
            channel,
            ear,
            phase: Phase::Unconfirmed,
            turn: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            overflowed: false,
            strangers: VecDeque::new(),
            silent: false,
        }
    }

    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
    }

    fn to_fill(&self, name: &Name) -> ToFill {
        ToFill { name: name.clone(), channel: self.channel.clone(), turn: self.turn, older: 0 }
    }

    fn hold(&mut self, arrival: Held, counters: &Counters) {
        let bytes = match &arrival {
            Held::Ours { event, .. } | Held::Foreign(event) => event.data().len(),
            Held::Named(_) => 0,
        };
        if self.held.len() >= HELD_MAX || self.held_bytes + bytes > HELD_BYTES_MAX {
            count(&counters.overflowed);
            self.overflowed |= arrival.position().is_some();
            return;
        }
        self.held_bytes += bytes;
        self.held.push_back(arrival);
    }
}

impl Held {
    fn position(&self) -> Option<Position> {
        match self {
            Self::Ours { position, .. } | Self::Named(position) => Some(*position),
            Self::Foreign(_) => None,
        }
    }
}

/// Puts an arrival into its log; gives it back where it does not follow what is there.
fn place(deliveries: &Deliveries, channel: &Channel, arrival: Held) -> Option<Held> {
    // A log that has no epoch would take any, also that of another database or prefix. Redis knows whose it is.
    if arrival.position().is_some() && deliveries.position(channel) == Some(Position::START) {
        return Some(arrival);
    }
    let placed = match &arrival {
        Held::Ours { position, event } => deliveries.append_at(channel, *position, &Encoded::new(event)),
        Held::Foreign(event) => deliveries.append_foreign(channel, &Encoded::new(event)),
        Held::Named(position) => {
            let is_here = |here: Position| here.epoch == position.epoch && here.offset >= position.offset;
            return (!deliveries.position(channel).is_some_and(is_here)).then_some(arrival);
        }
    };
    match placed {
        // Dropping it wakes the readers.
        Placed::Appended(appended) => drop(appended),
        Placed::Known | Placed::Closed => {}
        // A foreign event finds no log only if nobody can be reading.
        Placed::Elsewhere => return matches!(arrival, Held::Ours { .. }).then_some(arrival),
    }
    None
}
