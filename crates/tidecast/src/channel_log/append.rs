//! What a broker does to a channel's log: it opens it, appends to it, starts it over.
//!
//! Nothing here wakes a reader: whoever calls rings once the lock is let go of.

use std::{mem, time::Duration};

use super::{ChannelLog, Gone, State};
use crate::{Epoch, Limits, Position, ResetReason, hub::Beginning, wire::EncodedEvent};

/// Where a channel stands, by a broker's own count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// The position of the newest event; if there never was one, 0 in the [origin](Self::origin).
    pub position: Position,
    /// Epochs that went before in the same counting, and the offset that each had reached: newest first.
    ///
    /// A position of such an epoch is answered by `restarted`, and goes on after its own offset, or after the last one
    /// of its epoch where it lies beyond.
    pub lineage: Vec<(Epoch, u64)>,
    /// The epoch that stands for the channel until its first event, if it is not [`Epoch::NONE`].
    pub origin: Epoch,
    /// More epochs of which offset 0 is this counting's offset 0, and nothing was lost between: a channel without an event
    /// may be known by several, one after the other. A position of one goes on without a reset.
    pub origins: Vec<Epoch>,
}

impl Head {
    /// A channel that stands at a position, in the first epoch that the broker knows of.
    #[must_use]
    pub fn new(position: Position) -> Self {
        Self { position, lineage: Vec::new(), origin: Epoch::NONE, origins: Vec::new() }
    }

    /// Names the epoch that stands for the channel until its first event: readers of a silent channel are then told
    /// `ORIGIN.0`, and not `0.0`.
    ///
    /// A reader that comes back with `ORIGIN.0` is given all from the first event on, without a reset. So a broker must
    /// name another epoch once anything may have been lost that was published since this one was told: the channel was
    /// deleted, emptied, or has expired. `0.0` is told `restarted` by a log that has an origin, as it says nothing of when
    /// it was given out.
    #[must_use]
    pub fn with_origin(mut self, origin: Epoch) -> Self {
        self.origin = origin;
        self
    }

    /// Names the epochs that went before.
    #[must_use]
    pub fn with_lineage(mut self, lineage: Vec<(Epoch, u64)>) -> Self {
        self.lineage = lineage;
        self
    }

    /// Moves it to another offset of the same counting.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.position.offset = offset;
        self
    }

    /// Names the epochs by which the channel was known before its first event.
    #[must_use]
    pub fn with_origins(mut self, origins: Vec<Epoch>) -> Self {
        self.origins = origins;
        self
    }
}

/// What came of an event that a broker handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is in the log, at this position, and so many subscriptions read here.
    Appended { position: Position, receivers: usize },
    /// It was here before, or is no longer here.
    Known,
    /// Another event is here at its position.
    Conflict,
    /// It does not follow what is here.
    Elsewhere,
    /// Nothing is taken any more.
    Sealed,
}

impl ChannelLog {
    /// Opens the log if it is not, in a new epoch, and takes it for live: the log is the authority. Returns whether a
    /// reader may have waited for it.
    pub(crate) fn open(&self) -> Result<bool, Gone> {
        let mut state = self.lock()?;
        let opened = state.open(self.beginning);
        self.account(&mut state);
        Ok(opened)
    }

    /// Appends an event at the position that the log draws.
    pub(crate) fn append(&self, now: Duration, event: &EncodedEvent<'_>, limits: &Limits) -> Result<Arrival, Gone> {
        let mut state = self.lock()?;
        if state.sealed {
            return Ok(Arrival::Sealed);
        }
        state.open(self.beginning);
        Ok(self.put(&mut state, now, event, limits))
    }

    /// Appends an event at the position that a broker gave it.
    pub(crate) fn append_at(
        &self,
        now: Duration,
        position: Position,
        event: &EncodedEvent<'_>,
        limits: &Limits,
    ) -> Result<Arrival, Gone> {
        let mut state = self.lock()?;
        let Some(here) = state.log.position() else { return Ok(Arrival::Elsewhere) };
        if state.sealed {
            return Ok(Arrival::Sealed);
        }
        if state.log.awaits_epoch() && position.offset == 1 {
            state.log.adopt(position.epoch);
        } else if here.epoch != position.epoch || position.offset > here.offset + 1 {
            return Ok(Arrival::Elsewhere);
        } else if position.offset <= here.offset {
            let conflicts = state.log.has_other_at(position.offset, event.event);
            return Ok(if conflicts { Arrival::Conflict } else { Arrival::Known });
        }
        Ok(self.put(&mut state, now, event, limits))
    }

    /// Appends an event that has no position.
    pub(crate) fn append_foreign(
        &self,
        now: Duration,
        event: &EncodedEvent<'_>,
        limits: &Limits,
    ) -> Result<Arrival, Gone> {
        let mut state = self.lock()?;
        let Some(position) = state.log.position() else { return Ok(Arrival::Elsewhere) };
        if state.sealed {
            return Ok(Arrival::Sealed);
        }
        state.log.append_foreign(now, event, limits);
        self.account(&mut state);
        Ok(Arrival::Appended { position, receivers: state.readers() })
    }

    /// Has the log stand where a broker says: what comes next is what follows that position.
    ///
    /// A log of another epoch starts over. One that is behind goes on from there, without what lies between; one that is
    /// there already, or ahead, stays as it is.
    pub(crate) fn open_at(&self, head: &Head) -> Result<(), Gone> {
        let mut state = self.lock()?;
        if state.sealed {
            // What is here is still to be read.
            return Ok(());
        }
        let position = head.position;
        match state.log.position() {
            Some(here) if here.epoch == position.epoch => {
                if here.offset < position.offset {
                    state.log.skip_to(position.offset);
                }
                state.log.set_origin(head.origin);
                state.log.set_lineage(head.lineage.clone());
            }
            Some(here)
                if state.log.is_unborn(head.origin) || here.offset == 0 && head.origins.contains(&here.epoch) =>
            {
                state.log.adopt(position.epoch);
                if position.offset > 0 {
                    state.log.skip_to(position.offset);
                }
                state.log.set_origin(head.origin);
                state.log.set_lineage(head.lineage.clone());
            }
            _ => state.log.restart(position, head.origin, head.lineage.clone()),
        }
        state.log.set_origins(&head.origins);
        self.account(&mut state);
        Ok(())
    }

    /// Has the log go back to an offset of its epoch: what it has after that is not what the broker has. Readers that have
    /// come to it are told `restarted`, and go on from there.
    pub(crate) fn rewind(&self, offset: u64) -> Result<(), Gone> {
        let mut state = self.lock()?;
        let is_there = state.log.position().is_some_and(|here| here.offset >= offset);
        if is_there && !state.sealed {
            state.log.rewind(offset);
            self.account(&mut state);
        }
        Ok(())
    }

    /// Has the log go on in another epoch, of which a position is where the log stands now: nothing was missed.
    ///
    /// Readers that have read everything go on without a reset; if the offsets count anew, the others are told.
    pub(crate) fn continue_at(&self, head: &Head) -> Result<(), Gone> {
        let mut state = self.lock()?;
        if state.sealed {
            return Ok(());
        }
        state.log.succeed(head.position);
        state.log.set_origin(head.origin);
        state.log.set_lineage(head.lineage.clone());
        state.log.set_origins(&head.origins);
        self.account(&mut state);
        Ok(())
    }

    /// Takes the log for live, if it is open: from now on a broker misses nothing. Readers that waited begin after a
    /// position, or after the head if it is `None`, and are told the reset first. Returns whether the log was not live.
    pub(crate) fn set_live(&self, after: Option<Position>, reset: Option<ResetReason>) -> Result<bool, Gone> {
        let mut state = self.lock()?;
        let Some(position) = state.log.position().filter(|_| !state.live) else { return Ok(false) };
        state.go_live(after.unwrap_or(position), reset);
        Ok(true)
    }

    /// Returns since when the first of the readers has waited that wait for the log to become live.
    pub(crate) fn waiting_since(&self) -> Option<Duration> {
        self.state.lock().waiting_since
    }

    /// No longer takes the log for live: new readers wait.
    pub(crate) fn suspend(&self) -> Result<(), Gone> {
        self.lock()?.live = false;
        Ok(())
    }

    /// The same, unless somebody reads: tells whether it was done. The next reader is a first one.
    pub(crate) fn suspend_if_unread(&self) -> Result<bool, Gone> {
        let mut state = self.lock()?;
        let unread = state.readers() == 0;
        if unread {
            state.live = false;
            state.subscribed = false;
        }
        Ok(unread)
    }

    /// Drops the events if nobody reads them and the broker has stopped listening.
    pub(crate) fn clear_if_released(&self) -> Result<(), Gone> {
        let mut state = self.lock()?;
        if state.readers() == 0 && !state.live && !state.subscribed && !state.is_authority {
            state.log.clear();
            self.account(&mut state);
        }
        Ok(())
    }

    /// Drops the events and begins another life, in which offsets start over.
    pub(crate) fn start_over(&self) -> Result<(), Gone> {
        let mut state = self.lock()?;
        state.log.start_over(Epoch::random());
        self.account(&mut state);
        Ok(())
    }

    /// Drops the events and keeps the position; of a log that has readers only those from before `keep_from`, as newer
    /// ones may not have been read yet. Returns whether there were any.
    pub(crate) fn evict(&self, keep_from: Duration) -> Result<bool, Gone> {
        let mut state = self.lock()?;
        let before = state.log.len();
        match state.readers() {
            0 => state.log.clear(),
            _ => state.log.drop_before(keep_from),
        }
        self.account(&mut state);
        Ok(state.log.len() < before)
    }

    fn put(&self, state: &mut State, now: Duration, event: &EncodedEvent<'_>, limits: &Limits) -> Arrival {
        state.counts.published += 1;
        let position = state.log.append(now, event, limits);
        self.account(state);
        Arrival::Appended { position, receivers: state.readers() }
    }
}

impl State {
    /// Opens the log if it is not, and takes it for live; tells whether it was not.
    fn open(&mut self, beginning: Beginning) -> bool {
        if self.live {
            return false;
        }
        if self.log.position().is_none() {
            self.log.begin(beginning);
        }
        self.is_authority = true;
        self.go_live(self.log.position_before(self.log.head()), None);
        true
    }

    fn go_live(&mut self, after: Position, reset: Option<ResetReason>) {
        self.live = true;
        if mem::take(&mut self.keeps_live_after) {
            let is_later = after.epoch != self.live_after.epoch || after.offset > self.live_after.offset;
            self.live_after = if is_later { self.live_after } else { after };
            self.live_reset = self.live_reset.or(reset);
        } else {
            (self.live_after, self.live_reset) = (after, reset);
        }
        self.openings = self.openings.wrapping_add(1);
        self.waiting_since = None;
    }
}
