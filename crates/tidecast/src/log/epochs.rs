//! The epoch that a log counts in, where it begins, and the positions of other epochs that are positions in it.

use super::{EpochAlias, Log};
use crate::{Epoch, Position};

/// Most aliases that a log keeps. The oldest goes first.
const ALIASES_MAX: usize = 16;

/// Where a log that assigns its own positions begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InitialPosition {
    pub(crate) position: Position,
    /// No event of the channel was ever forgotten in this process.
    pub(crate) is_first: bool,
    /// The position was kept from an earlier log of the channel, and is kept nowhere else now.
    pub(crate) is_kept: bool,
}

impl Log {
    /// Begins the first generation of a log that assigns its own positions.
    pub(crate) fn begin(&mut self, InitialPosition { position, is_first, .. }: InitialPosition) {
        // `0.0` may stand for a time before the events that were forgotten.
        let origin = if is_first { Epoch::NONE } else { position.epoch };
        self.restart(position, origin, Vec::new());
    }

    /// Drops all events and begins a generation whose offsets start over.
    pub(crate) fn start_over(&mut self, epoch: Epoch) {
        self.restart(Position { epoch, offset: 0 }, epoch, Vec::new());
    }

    /// Drops all events and begins a generation after a position.
    pub(crate) fn restart(&mut self, position: Position, origin: Epoch, lineage: Vec<(Epoch, u64)>) {
        self.clear();
        self.generation += 1;
        self.epoch = Some(position.epoch);
        self.origin = origin;
        self.head_offset = position.offset;
        self.lineage = lineage;
        self.rewound_to = None;
        self.aliases = Vec::new();
    }

    /// Begins a generation after an offset of the present epoch, because the broker's history differs after it.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.clear();
        self.generation += 1;
        self.head_offset = offset;
        self.rewound_to = Some(self.rewound_to.map_or(offset, |before| before.min(offset)));
    }

    /// Returns the position in this generation of a reader that stood at a position in an earlier one.
    pub(crate) fn rewound(&self, position: Position) -> Position {
        match self.rewound_to {
            Some(offset) if position.epoch == self.epoch() && position.offset > offset => {
                Position { offset, ..position }
            }
            _ => position,
        }
    }

    /// Returns whether the log is open at this origin, for a channel without any event.
    pub(crate) fn is_at_origin(&self, origin: Epoch) -> bool {
        self.origin == origin && self.position() == Some(self.start())
    }

    /// Returns whether the first event gives the log an epoch.
    pub(crate) fn awaits_epoch(&self) -> bool {
        self.is_at_origin(self.origin)
    }

    /// Gives an epoch to a log that [awaits](Self::awaits_epoch) one, or another epoch to a log without an event.
    pub(crate) fn set_epoch(&mut self, epoch: Epoch) {
        debug_assert!(self.head_offset == 0);
        self.epoch = Some(epoch);
    }

    /// Returns the beginning of the log, as readers were told it before the first event.
    pub(crate) fn start(&self) -> Position {
        Position { epoch: self.origin, offset: 0 }
    }

    /// Continues in another epoch, in which the given position is where the log stands now.
    pub(crate) fn continue_in(&mut self, position: Position) {
        let there = Position { epoch: self.epoch(), offset: self.head_offset };
        if position.offset != there.offset {
            // The entries have offsets of the other counting. A reader that has not read them finds them gone.
            self.clear();
            self.aliases.clear();
        }
        self.epoch = Some(position.epoch);
        self.head_offset = position.offset;
        self.add_alias(EpochAlias { there, here: position.offset });
    }

    /// Sets the origin, the earlier epochs, and the epochs whose offset 0 is this counting's offset 0.
    pub(crate) fn set_ancestry(&mut self, origin: Epoch, lineage: Vec<(Epoch, u64)>, origins: &[Epoch]) {
        self.origin = origin;
        self.lineage = lineage;
        let present = self.epoch;
        for epoch in origins.iter().rev().filter(|epoch| present != Some(**epoch)) {
            self.add_alias(EpochAlias { there: Position { epoch: *epoch, offset: 0 }, here: 0 });
        }
    }

    fn add_alias(&mut self, alias: EpochAlias) {
        if !self.aliases.contains(&alias) {
            if self.aliases.len() >= ALIASES_MAX {
                self.aliases.remove(0);
            }
            self.aliases.push(alias);
        }
    }

    /// Continues after an offset past the newest one. The events between are not in the log, and no reader may skip them
    /// unnoticed: they count as one entry that was dropped.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.clear();
        self.first_seq += 1;
        self.head_offset = offset;
    }
}
