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
    /// The position was kept from an earlier log of the channel, and is kept nowhere else now.
    pub(crate) is_kept: bool,
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
            Some(position) => Beginning { position, is_first: position.epoch == self.epoch(channel, 0), is_kept: true },
            None => {
                let epoch = self.epoch(channel, tables.generation);
                Beginning { position: Position { epoch, offset: 0 }, is_first: tables.generation == 0, is_kept: false }
            }
        }
    }

    /// Keeps where a channel stood that leaves the map.
    pub(crate) fn put(&self, channel: &Channel, position: Position) {
        let mut tables = self.tables.lock();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{Channel, Event, Limits, Position, hub::Registry, wire::EncodedEvent};

    const NOW: Duration = Duration::ZERO;

    fn name(name: &str) -> Channel {
        Channel::new(name).expect("a name")
    }

    fn append(registry: &Registry, channel: &Channel) -> Position {
        let event = Event::text("x");
        registry.append(channel, &EncodedEvent::new(&event), NOW).expect("it is not sealed").position
    }

    /// Takes an idle channel out of the map.
    fn leave(registry: &Registry, channel: &Channel) {
        let log = registry.find(channel).expect("it is in the map");
        log.evict(NOW).expect("it is in the map");
        assert!(registry.remove_if(&log, |_| true));
    }

    /// A log that was put into the map for a publish, and taken out as a silent one before the event came to it, lost the
    /// kept position: the event was given a position that an earlier one had had.
    #[test]
    fn a_kept_position_outlives_a_log_that_was_never_opened() {
        let registry = Registry::new(Limits::default());
        let channel = name("a");
        let before = append(&registry, &channel);
        leave(&registry, &channel);
        registry.find_or_add(&channel, NOW);
        registry.forget_silent(NOW);
        assert!(registry.find(&channel).is_none());
        assert_eq!(append(&registry, &channel), Position { offset: 2, ..before });
    }

    /// The same if the log is started over meanwhile.
    #[test]
    fn a_log_that_was_started_over_and_never_opened_gives_no_position_out_again() {
        let registry = Registry::new(Limits::default());
        let channel = name("a");
        let before = append(&registry, &channel);
        leave(&registry, &channel);
        registry.find_or_add(&channel, NOW);
        assert!(registry.forget(&channel));
        assert!(registry.find(&channel).is_none());
        assert_ne!(append(&registry, &channel).epoch, before.epoch);
    }

    /// The silent channels of a reader had other epochs than those of their names once positions had been dropped. They
    /// were kept when they left, in the place of the positions of channels that had events.
    #[test]
    fn channels_that_are_only_read_drop_no_position_of_others() {
        let registry = Registry::new(Limits { idle_channels_max: 4, ..Limits::default() });
        let silent: Vec<_> = (0..20).map(|number| name(&format!("silent{number}"))).collect();
        for channel in &silent {
            registry.find_or_add(channel, NOW).open().expect("it is in the map");
        }
        // The sixth has the first three dropped.
        let published: Vec<_> = (0..6).map(|number| name(&format!("published{number}"))).collect();
        let before: Vec<_> = published.iter().map(|channel| append(&registry, channel)).collect();
        for channel in published.iter().chain(&silent) {
            leave(&registry, channel);
        }
        assert_ne!(append(&registry, &published[0]).epoch, before[0].epoch);
        for (channel, before) in published.iter().zip(before).skip(3) {
            assert_eq!(append(&registry, channel), Position { offset: 2, ..before });
        }
    }
}
