//! Which epoch a log counts in, where it begins, and which places of other epochs are places in it.

use super::Log;
use crate::{Epoch, Position, hub::Beginning};

/// A position of another epoch that is a place in the present one. If both count alike, so are all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SamePlace {
    pub(super) there: Position,
    pub(super) here: u64,
}

/// Most of them that are kept; the newest count.
const SAME_PLACES_MAX: usize = 16;

impl Log {
    /// Begins a first life of a log that draws the positions.
    pub(crate) fn begin(&mut self, Beginning { position, is_first, .. }: Beginning) {
        // `0.0` may stand for a time before what was forgotten.
        let origin = if is_first { Epoch::NONE } else { position.epoch };
        self.restart(position, origin, Vec::new());
    }

    /// Begins another life: what is there is dropped, and offsets start over.
    pub(crate) fn start_over(&mut self, epoch: Epoch) {
        self.restart(Position { epoch, offset: 0 }, epoch, Vec::new());
    }

    /// Begins a life after a position.
    pub(crate) fn restart(&mut self, position: Position, origin: Epoch, lineage: Vec<(Epoch, u64)>) {
        self.clear();
        self.life += 1;
        self.epoch = Some(position.epoch);
        self.origin = origin;
        self.head_offset = position.offset;
        self.lineage = lineage;
        self.rewound_to = None;
        self.same = Vec::new();
    }

    /// Begins another life after an offset of the present epoch: what is here after it is not what the broker has.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.clear();
        self.life += 1;
        self.head_offset = offset;
        self.rewound_to = Some(self.rewound_to.map_or(offset, |before| before.min(offset)));
    }

    /// Returns where a reader stands in this life that stood at a position in an earlier one.
    pub(crate) fn rewound(&self, position: Position) -> Position {
        match self.rewound_to {
            Some(offset) if position.epoch == self.epoch() && position.offset > offset => {
                Position { offset, ..position }
            }
            _ => position,
        }
    }

    /// Whether the log is open for a channel that had never been published to, with this origin.
    pub(crate) fn is_unborn(&self, origin: Epoch) -> bool {
        self.origin == origin && self.position() == Some(self.start())
    }

    /// Whether the first event gives the log an epoch.
    pub(crate) fn awaits_epoch(&self) -> bool {
        self.is_unborn(self.origin)
    }

    /// Gives an epoch to a log that [awaits](Self::awaits_epoch) one, or another name to one without an event.
    pub(crate) fn adopt(&mut self, epoch: Epoch) {
        debug_assert!(self.head_offset == 0);
        self.epoch = Some(epoch);
    }

    /// The beginning, as it was told before the first event.
    pub(crate) fn start(&self) -> Position {
        Position { epoch: self.origin, offset: 0 }
    }

    /// Goes on in another epoch, in which a position is where the log stands now.
    pub(crate) fn succeed(&mut self, position: Position) {
        let there = Position { epoch: self.epoch(), offset: self.head_offset };
        if position.offset != there.offset {
            // What is here has offsets of the other counting. Readers that have not read it find it gone.
            self.clear();
            self.same.clear();
        }
        self.epoch = Some(position.epoch);
        self.head_offset = position.offset;
        self.add_same(SamePlace { there, here: position.offset });
    }

    /// Names epochs of which offset 0 is this counting's.
    pub(crate) fn set_origins(&mut self, origins: &[Epoch]) {
        let present = self.epoch;
        for epoch in origins.iter().rev().filter(|epoch| present != Some(**epoch)) {
            self.add_same(SamePlace { there: Position { epoch: *epoch, offset: 0 }, here: 0 });
        }
    }

    fn add_same(&mut self, same: SamePlace) {
        if !self.same.contains(&same) {
            if self.same.len() >= SAME_PLACES_MAX {
                self.same.remove(0);
            }
            self.same.push(same);
        }
    }

    /// Goes on after an offset past the newest one. What lies between is not here, so no reader may pass over it
    /// unawares: it counts as one entry that is gone.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.clear();
        self.first += 1;
        self.head_offset = offset;
    }

    pub(crate) fn set_origin(&mut self, origin: Epoch) {
        self.origin = origin;
    }

    pub(crate) fn set_lineage(&mut self, lineage: Vec<(Epoch, u64)>) {
        self.lineage = lineage;
    }
}
