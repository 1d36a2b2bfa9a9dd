//! The sums over all channels of a node. Each log adds its contribution, and takes it away again.

use std::{collections::HashSet, mem};

use crate::{
    Epoch,
    sync::{AtomicU64, Mutex, Ordering},
};

#[derive(Debug, Default)]
pub(crate) struct LogTotals {
    /// Memory of the logs that have events, in bytes, with their overhead: what dropping events frees.
    memory: AtomicU64,
    /// Channels that never had an event, as far as this node knows.
    silent: AtomicU64,
    /// The epochs that belong to one channel only.
    epochs: Mutex<HashSet<Epoch>>,
}

/// The part of the totals that one log has added.
#[derive(Debug, Default)]
pub(super) struct Contribution {
    pub(super) memory: usize,
    pub(super) is_silent: bool,
    pub(super) epoch: Option<Epoch>,
}

impl LogTotals {
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn silent(&self) -> usize {
        self.silent.load(Ordering::Relaxed) as usize
    }

    /// Returns whether a channel of this node has the epoch.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.epochs.lock().contains(&epoch)
    }

    /// Replaces a log's contribution.
    pub(super) fn update(&self, added: &mut Contribution, now: Contribution) {
        let before = mem::replace(added, now);
        if before.memory != added.memory {
            // A wrapping addition of the difference: the sum of all contributions is never below zero.
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
