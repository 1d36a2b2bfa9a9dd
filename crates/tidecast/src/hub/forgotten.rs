//! The positions of forgotten channels, so that a client that was away meanwhile resumes if nothing was lost.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    mem,
};

use crate::{Channel, Epoch, Position, log::InitialPosition, sync::Mutex};

/// The positions of channels that are no longer in the map.
///
/// A channel that never had an event leaves nothing here. Its epoch is a hash of its name, so it is the same when the
/// channel is read again, and names that are only read cost nothing afterwards. A channel that had an event leaves its name
/// and its position. They are kept in two tables, and the older table is dropped once the newer one is full. The epochs of
/// all names then change, so that no position is given out twice: a client of a channel that is not in the map is told
/// `restarted`.
#[derive(Debug)]
pub(crate) struct ForgottenPositions {
    /// Keeps the epochs apart from those of any other process or hub.
    secret: [u8; 16],
    positions_max: usize,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// How often positions were dropped.
    drops: u64,
    newer: HashMap<Channel, Position>,
    older: HashMap<Channel, Position>,
}

impl ForgottenPositions {
    /// Creates tables for the positions of at most `positions_max` channels.
    pub(crate) fn new(positions_max: usize) -> Self {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).expect("the system has random numbers");
        Self { secret, positions_max, tables: Mutex::default() }
    }

    /// Returns where a channel begins that enters the map.
    pub(crate) fn take(&self, channel: &Channel) -> InitialPosition {
        let mut tables = self.tables.lock();
        let kept = tables.newer.remove(channel).or_else(|| tables.older.remove(channel));
        let first_epoch = || self.epoch(channel, 0);
        match kept {
            Some(position) => InitialPosition { position, is_first: position.epoch == first_epoch(), is_kept: true },
            None => {
                let position = Position { epoch: self.epoch(channel, tables.drops), offset: 0 };
                InitialPosition { position, is_first: tables.drops == 0, is_kept: false }
            }
        }
    }

    /// Keeps the position of a channel that leaves the map.
    pub(crate) fn put(&self, channel: &Channel, position: Position) {
        let mut tables = self.tables.lock();
        tables.newer.insert(channel.clone(), position);
        if tables.newer.len() > self.positions_max / 2 {
            let newer = mem::take(&mut tables.newer);
            // A limit too low for two tables keeps nothing.
            let kept = if self.positions_max < 2 { HashMap::new() } else { newer };
            let is_drop = self.positions_max < 2 || !tables.older.is_empty();
            tables.older = kept;
            tables.drops += u64::from(is_drop);
        }
    }

    fn epoch(&self, channel: &Channel, drops: u64) -> Epoch {
        let mut hasher = DefaultHasher::new();
        (self.secret, drops, channel).hash(&mut hasher);
        Epoch::from_hash(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{Channel, Event, Limits, Position, channel_log::ChannelLog, hub::Registry, wire::frame::EncodedEvent};

    const NOW: Duration = Duration::ZERO;

    fn name(name: &str) -> Channel {
        Channel::new(name).expect("a name")
    }

    fn append(registry: &Registry, channel: &Channel) -> Position {
        let event = Event::text("x");
        let append = |log: &Arc<ChannelLog>| log.append(NOW, &EncodedEvent::new(&event), registry.limits());
        let outcome = registry.append(channel, NOW, append);
        outcome.appended().expect("the hub is open").position
    }

    /// Evicts an idle channel from the map.
    fn evict(registry: &Registry, channel: &Channel) {
        let log = registry.find(channel).expect("the channel is in the map");
        log.drop_events(NOW).expect("the log is in the map");
        assert!(registry.remove_if(&log, |_| true));
    }

    /// A log that was added for a publish, and evicted as silent before the event reached it, lost the kept position. The
    /// event was then given a position that an earlier event had had.
    #[test]
    fn a_kept_position_outlives_a_log_that_was_never_opened() {
        let registry = Registry::new(Limits::default());
        let channel = name("a");
        let before = append(&registry, &channel);
        evict(&registry, &channel);
        registry.find_or_add(&channel, NOW);
        registry.forget_silent(NOW);
        assert!(registry.find(&channel).is_none());
        assert_eq!(append(&registry, &channel), Position { offset: 2, ..before });
    }

    /// The same for a log that is started over meanwhile.
    #[test]
    fn a_log_that_was_started_over_and_never_opened_does_not_reuse_a_position() {
        let registry = Registry::new(Limits::default());
        let channel = name("a");
        let before = append(&registry, &channel);
        evict(&registry, &channel);
        registry.find_or_add(&channel, NOW);
        assert!(registry.forget(&channel));
        assert!(registry.find(&channel).is_none());
        assert_ne!(append(&registry, &channel).epoch, before.epoch);
    }

    /// Once positions had been dropped, silent channels had other epochs than those of their names. Their positions were
    /// then kept when they left, instead of those of channels that had events.
    #[test]
    fn channels_that_are_only_read_displace_no_positions() {
        let registry = Registry::new(Limits { idle_channels_max: 4, ..Limits::default() });
        let silent: Vec<_> = (0..20).map(|n| name(&format!("silent{n}"))).collect();
        for channel in &silent {
            registry.find_or_add(channel, NOW).open().expect("the log is in the map");
        }
        // The sixth channel makes the first three positions be dropped.
        let published: Vec<_> = (0..6).map(|n| name(&format!("published{n}"))).collect();
        let before: Vec<_> = published.iter().map(|channel| append(&registry, channel)).collect();
        for channel in published.iter().chain(&silent) {
            evict(&registry, channel);
        }
        assert_ne!(append(&registry, &published[0]).epoch, before[0].epoch);
        for (channel, before) in published.iter().zip(before).skip(3) {
            assert_eq!(append(&registry, channel), Position { offset: 2, ..before });
        }
    }
}
