//! The log of one channel with those who read it: the one lock between a publisher and its subscribers.
//!
//! Under the lock bytes are put in place or a reference to them is taken; encoding comes before it, and waking after it.

mod append;
mod groups;
mod read;
mod totals;

use std::{mem, sync::Arc, time::Duration};

use crate::{
    Channel, Limits, Position, ResetReason,
    hub::Beginning,
    log::Log,
    notify::Bell,
    sync::{Mutex, MutexGuard},
};

pub use self::append::Head;
pub(crate) use self::{
    append::Arrival,
    read::{Begin, Knows, NotLive, Place, Read},
    totals::AllLogs,
};
use self::{groups::Outlet, totals::Added};

/// What the map of channels takes for each, roughly: a name, a reference, and the room that a hash table leaves free.
const MAP_ENTRY_BYTES: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct ChannelLog {
    channel: Channel,
    state: Mutex<State>,
    /// Where it begins, if it draws the positions itself.
    beginning: Beginning,
    all: Arc<AllLogs>,
}

/// What lies under the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) log: Log,
    readers: Vec<Reader>,
    /// Those who stand at taps: at most one for each reactor.
    outlets: Vec<Outlet>,
    /// The hub is closed: nothing more is appended.
    sealed: bool,
    /// The map no longer has this log: whoever still holds it must ask the map again.
    gone: bool,
    /// The broker sees to it that nothing after the log's head is missed. Until then new readers wait.
    live: bool,
    /// After which position a reader that waited for the log to become live has not missed anything.
    live_after: Position,
    /// The reset that such a reader is told first, as events may be missing before that.
    live_reset: Option<ResetReason>,
    /// Readers wait that have not begun since the log was live last: the next time they begin no later than that.
    keeps_live_after: bool,
    /// How often the log has become live.
    openings: u32,
    /// Since when the first of the present readers has waited for the log to become live; `None` if no reader waits.
    waiting_since: Option<Duration>,
    /// The broker was told that there are readers here.
    subscribed: bool,
    /// Positions are drawn here, so that no broker listens to anything.
    is_authority: bool,
    /// When the last reader left, or the log was made.
    idle_since: Duration,
    /// What it last added to all logs.
    added: Added,
    pub(crate) counts: Counts,
}

/// What happened in one channel. Plain numbers under its lock: no two channels share a cache line for them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
    }
}

/// A subscription that reads here.
#[derive(Clone)]
struct Reader {
    bell: Arc<Bell>,
    /// Which of the subscription's channels this is.
    lane: u32,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// The log is no longer the channel's.
#[derive(Debug)]
pub(crate) struct Gone;

/// What a reader is told when it joins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    /// The broker is to be told that the channel is read.
    pub(crate) first: bool,
    /// The local number of what is appended next.
    pub(crate) at: u64,
}

/// What a sweep found.
#[derive(Debug)]
pub(crate) struct Swept {
    /// The broker is to be told that nobody reads the channel.
    pub(crate) released: bool,
    /// Since when nobody reads and nothing is kept, if so.
    pub(crate) idle_since: Option<Duration>,
}

impl ChannelLog {
    pub(crate) fn new(channel: Channel, now: Duration, beginning: Beginning, all: Arc<AllLogs>) -> Self {
        let state = State::new(now);
        let log = Self { channel, state: Mutex::new(state), beginning, all };
        log.account(&mut log.state.lock());
        log
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, State>, Gone> {
        let state = self.state.lock();
        if state.gone { Err(Gone) } else { Ok(state) }
    }

    /// Tells every reader that there is something to read.
    ///
    /// A few dozen at a time, so that the lock is short however many there are. From the last to the first, because a
    /// reader that leaves has its place taken by the last one: that one has then been told already, or is still to come.
    pub(crate) fn ring(&self) {
        // A model of it has few readers, and is to take several turns.
        const AT_ONCE: usize = if cfg!(tidecast_loom) { 1 } else { 32 };
        let mut batch = smallvec::SmallVec::<[Reader; AT_ONCE]>::new();
        let mut outlets = smallvec::SmallVec::<[Outlet; 4]>::new();
        let mut end = usize::MAX;
        loop {
            {
                let state = self.state.lock();
                // Once, and at the first look: who comes to a tap later reads what is there by itself.
                if end == usize::MAX {
                    outlets.extend(state.outlets.iter().cloned());
                }
                end = end.min(state.readers.len());
                let begin = end.saturating_sub(AT_ONCE);
                batch.extend(state.readers[begin..end].iter().cloned());
                end = begin;
            }
            for reader in batch.drain(..) {
                reader.bell.ring(reader.lane);
            }
            if end == 0 {
                break;
            }
        }
        for outlet in &outlets {
            outlet.ring();
        }
    }

    /// Appends nothing more from now on: what is here by now is all that readers are still to get.
    pub(crate) fn seal(&self) {
        self.state.lock().sealed = true;
    }

    /// Adds a reader; it hears of everything that is appended from now on.
    pub(crate) fn join(&self, bell: &Arc<Bell>, lane: u32) -> Result<Joined, Gone> {
        let mut state = self.lock()?;
        state.readers.push(Reader { bell: bell.clone(), lane });
        Ok(Joined { first: !mem::replace(&mut state.subscribed, true), at: state.log.head() })
    }

    /// Removes a reader.
    pub(crate) fn leave(&self, bell: &Arc<Bell>, lane: u32, now: Duration) {
        let mut state = self.state.lock();
        state.remove(bell, lane);
        state.end_if_unread(now);
    }

    /// Drops what is too old, and looks who still needs the log.
    pub(crate) fn sweep(&self, now: Duration, limits: &Limits, release_after: Duration) -> Result<Swept, Gone> {
        let mut state = self.lock()?;
        state.log.sweep(now, limits);
        self.account(&mut state);
        let released =
            state.subscribed && state.readers() == 0 && now.saturating_sub(state.idle_since) >= release_after;
        if released {
            state.subscribed = false;
        }
        let idle_since = state.is_idle().then(|| state.last_used());
        Ok(Swept { released, idle_since })
    }

    /// Marks the log as no longer the channel's. Only the map does this, when it takes the log out. Returns where the
    /// channel stood, if the next log of it can't begin elsewhere without giving out a position again.
    ///
    /// A log that began at a kept position gives it back even if it was never opened.
    pub(crate) fn set_gone(&self, state: &mut State) -> (Counts, Option<Position>) {
        state.gone = true;
        state.log.clear();
        self.take_away(state);
        let Beginning { position: began_at, is_kept, .. } = self.beginning;
        let stood = state.log.position().unwrap_or(began_at);
        (state.counts, Some(stood).filter(|stood| is_kept || state.is_authority && *stood != began_at))
    }
}

impl State {
    fn new(now: Duration) -> Self {
        Self {
            log: Log::default(),
            readers: Vec::new(),
            outlets: Vec::new(),
            sealed: false,
            gone: false,
            live: false,
            live_after: Position::START,
            live_reset: None,
            keeps_live_after: false,
            openings: 0,
            waiting_since: None,
            subscribed: false,
            is_authority: false,
            idle_since: now,
            added: Added::default(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.len() + self.tapped()
    }

    /// Takes note of the last reader's leaving.
    fn end_if_unread(&mut self, now: Duration) {
        if self.readers() == 0 {
            self.idle_since = now;
            self.waiting_since = None;
        }
    }

    fn remove(&mut self, bell: &Arc<Bell>, lane: u32) {
        // A look through all of them, but only at one word each: 10,000 readers take some microseconds. From the newest,
        // as most that leave have just come, on their way to a tap.
        let here = self.readers.iter().rposition(|reader| reader.lane == lane && Arc::ptr_eq(&reader.bell, bell));
        if let Some(here) = here {
            self.readers.swap_remove(here);
        }
        if self.readers.is_empty() {
            self.readers = Vec::new();
        }
    }

    /// Whether the channel never had an event, as far as this node knows.
    pub(crate) fn is_silent(&self) -> bool {
        !self.log.had_events()
    }

    /// Whether nobody reads and nothing is kept, and no broker listens: one that was not told of the release before the
    /// log goes would listen for ever.
    pub(crate) fn is_idle(&self) -> bool {
        self.readers() == 0 && self.log.len() == 0 && (self.is_authority || !self.subscribed)
    }

    /// Since when it is idle, if it is.
    pub(crate) fn last_used(&self) -> Duration {
        self.idle_since.max(self.log.appended_at())
    }
}
