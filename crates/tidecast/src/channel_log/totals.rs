//! What all channels of a node amount to: each log adds itself, and takes itself away.

use std::{collections::HashSet, mem};

use super::{ChannelLog, MAP_ENTRY_BYTES, State};
use crate::{
    Epoch,
    sync::{AtomicU64, Mutex, Ordering},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AllLogs {
    /// Memory of the logs that have events, with their overhead: what dropping events frees.
    memory: AtomicU64,
    /// Channels that never had an event, as far as this node knows.
    silent: AtomicU64,
    /// The epochs that only one channel has.
    epochs: Mutex<HashSet<Epoch>>,
}

/// What one log has added.
#[derive(Debug, Default)]
pub(super) struct Added {
    memory: usize,
    is_silent: bool,
    epoch: Option<Epoch>,
}

impl AllLogs {
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn silent(&self) -> usize {
        self.silent.load(Ordering::Relaxed) as usize
    }

    /// Whether a channel has that epoch.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.epochs.lock().contains(&epoch)
    }

    fn change(&self, added: &mut Added, now: Added) {
        let before = mem::replace(added, now);
        if before.memory != added.memory {
            // Wrapping addition of the difference: the sum of all is never below zero.
            self.memory.fetch_add((added.memory as u64).wrapping_sub(before.memory as u64), Ordering::Relaxed);
        }
        match (before.is_silent, added.is_silent) {
            (false, true) => drop(self.silent.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.silent.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        if before.epoch != added.epoch {
            let mut epochs = self.epochs.lock();
            before.epoch.map(|epoch| epochs.remove(&epoch));
            epochs.extend(added.epoch);
        }
    }
}

impl ChannelLog {
    /// Adds what this log has become to what all amount to.
    pub(super) fn account(&self, state: &mut State) {
        let log = &state.log;
        let overhead = size_of::<Self>() + 2 * self.channel.as_str().len() + MAP_ENTRY_BYTES;
        let now = Added {
            memory: if log.len() > 0 { overhead + log.memory() } else { 0 },
            is_silent: !log.had_events(),
            // Before their first event channels may share an epoch of the broker's.
            epoch: log.position().map(|at| at.epoch).filter(|_| state.is_authority || !log.awaits_epoch()),
        };
        self.all.change(&mut state.added, now);
    }

    /// Takes it away, as the log is no longer the channel's.
    pub(super) fn take_away(&self, state: &mut State) {
        self.all.change(&mut state.added, Added::default());
    }
}
