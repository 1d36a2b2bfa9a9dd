//! Where forgotten channels stood, so that a client that was away meanwhile resumes if nothing was lost.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    mem,
};

use crate::{Channel, Epoch, Position, sync::Mutex};

/// Where a log in memory begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) position: Position,
    /// No event of the channel was ever forgotten in this process.
    pub(crate) is_first: bool,
}

/// Where the channels stood that are no longer in the map.
///
/// A channel that never had an event leaves nothing here: its epoch is a hash of its name, so it is the same when the
/// channel is read again, and names that are only read cost nothing once they are not. A channel that had one leaves its
/// name and its position. They are kept in two tables, of which the older is dropped once the newer is full. The epochs
/// of all names then change, so that no position is given out twice: a client of a channel that is not in the map is told
/// `restarted`.
#[derive(Debug)]
pub(crate) struct Forgotten {
    /// So that no other process, and no other hub, has the same epochs.
    secret: [u8; 16],
    positions_max: usize,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// How often positions were dropped.
    generation: u64,
    newer: HashMap<Channel, Position>,
    older: HashMap<Channel, Position>,
}

impl Forgotten {
    /// Keeps the positions of at most so many channels.
    pub(crate) fn new(positions_max: usize) -> Self {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).expect("the system has random numbers");
        Self { secret, positions_max, tables: Mutex::default() }
    }

    /// Returns where a channel begins that comes into the map.
    pub(crate) fn take(&self, channel: &Channel) -> Beginning {
        let mut tables = self.tables.lock();
        let kept = tables.newer.remove(channel).or_else(|| tables.older.remove(channel));
        match kept {
            Some(position) => Beginning { position, is_first: position.epoch == self.epoch(channel, 0) },
            None => {
                let epoch = self.epoch(channel, tables.generation);
                Beginning { position: Position { epoch, offset: 0 }, is_first: tables.generation == 0 }
            }
        }
    }

    /// Keeps where a channel stood that leaves the map.
    pub(crate) fn put(&self, channel: &Channel, position: Position) {
        let mut tables = self.tables.lock();
        let begins_there = Position { epoch: self.epoch(channel, tables.generation), offset: 0 };
        if position == begins_there {
            return;
        }
        tables.newer.insert(channel.clone(), position);
        if tables.newer.len() > self.positions_max / 2 {
            let newer = mem::take(&mut tables.newer);
            // With no room for two tables nothing is kept.
            let kept = if self.positions_max < 2 { HashMap::new() } else { newer };
            let drops = self.positions_max < 2 || !tables.older.is_empty();
            tables.older = kept;
            tables.generation += u64::from(drops);
        }
    }

    fn epoch(&self, channel: &Channel, generation: u64) -> Epoch {
        let mut hasher = DefaultHasher::new();
        (self.secret, generation, channel).hash(&mut hasher);
        Epoch::from_hash(hasher.finish())
    }
}
