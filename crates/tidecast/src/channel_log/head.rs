//! Where a channel stands, as a broker tells it.

use crate::{Epoch, Position};

/// The place of a channel's newest event, in a broker's own counting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// The position of the newest event. Without any event: offset 0 in the [origin](Self::origin).
    pub position: Position,
    /// Earlier epochs of the same counting and the offset that each had reached, newest first.
    ///
    /// A reader at a position of such an epoch is told `restarted`. It continues after the same offset, or after the last
    /// offset of its epoch if that is lower.
    pub lineage: Vec<(Epoch, u64)>,
    /// The epoch that stands for the channel until its first event; [`Epoch::NONE`] if there is none.
    pub origin: Epoch,
    /// Further epochs whose offset 0 is this counting's offset 0, with nothing lost between. A channel without an event
    /// may be known by several epochs, one after the other. A position of one continues without a reset.
    pub origins: Vec<Epoch>,
}

impl Head {
    /// Creates the head of a channel at a position, in the first epoch that the broker knows of.
    #[must_use]
    pub fn new(position: Position) -> Self {
        Self { position, lineage: Vec::new(), origin: Epoch::NONE, origins: Vec::new() }
    }

    /// Sets the epoch that stands for the channel until its first event. Readers of a silent channel are then told
    /// `ORIGIN.0` instead of `0.0`.
    ///
    /// A reader that returns with `ORIGIN.0` gets everything from the first event on, without a reset. So a broker must
    /// choose another origin once any event that was published since may have been lost: the channel was deleted or
    /// emptied, or has expired. A log with an origin answers `0.0` with `restarted`, because `0.0` does not show when it
    /// was given out.
    #[must_use]
    pub fn with_origin(mut self, origin: Epoch) -> Self {
        self.origin = origin;
        self
    }

    /// Sets the earlier epochs.
    #[must_use]
    pub fn with_lineage(mut self, lineage: Vec<(Epoch, u64)>) -> Self {
        self.lineage = lineage;
        self
    }

    /// Moves the head to another offset of the same counting.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.position.offset = offset;
        self
    }

    /// Sets the epochs by which the channel was known before its first event.
    #[must_use]
    pub fn with_origins(mut self, origins: Vec<Epoch>) -> Self {
        self.origins = origins;
        self
    }
}
