//! The broker's side of a channel's log: opening it, appending to it and starting it over.
//!
//! Nothing here wakes a reader. The caller does, once the lock is released.

use std::{mem, sync::Arc, time::Duration};

use super::{AppendOutcome, Appended, ChannelLog, Evicted, Head, LogState};
use crate::{Epoch, Limits, Position, ResetReason, log::InitialPosition, wire::frame::EncodedEvent};

impl ChannelLog {
    /// Opens the log in a new epoch and makes it live, unless it is: the log assigns the positions.
    ///
    /// Returns whether a reader may have waited for it.
    pub(crate) fn open(&self) -> Result<bool, Evicted> {
        let mut state = self.lock()?;
        let opened = state.open(self.initial);
        self.update_totals(&mut state);
        Ok(opened)
    }

    /// Appends an event at the position that the log assigns.
    pub(crate) fn append(
        self: &Arc<Self>,
        now: Duration,
        event: &EncodedEvent<'_>,
        limits: &Limits,
    ) -> Result<AppendOutcome, Evicted> {
        let mut state = self.lock()?;
        if state.closed {
            return Ok(AppendOutcome::Closed);
        }
        state.open(self.initial);
        Ok(self.put(&mut state, now, event, limits))
    }

    /// Appends an event at the position that a broker assigned.
    pub(crate) fn append_at(
        self: &Arc<Self>,
        now: Duration,
        position: Position,
        event: &EncodedEvent<'_>,
        limits: &Limits,
    ) -> Result<AppendOutcome, Evicted> {
        let mut state = self.lock()?;
        let Some(here) = state.log.position() else { return Ok(AppendOutcome::Gap) };
        if state.closed {
            return Ok(AppendOutcome::Closed);
        }
        if state.log.awaits_epoch() && position.offset == 1 {
            state.log.set_epoch(position.epoch);
        } else if here.epoch != position.epoch || position.offset > here.offset + 1 {
            return Ok(AppendOutcome::Gap);
        } else if position.offset <= here.offset {
            let conflicts = state.log.conflicts_at(position.offset, event.event);
            return Ok(if conflicts { AppendOutcome::Conflict } else { AppendOutcome::Duplicate });
        }
        Ok(self.put(&mut state, now, event, limits))
    }

    /// Appends an event without a position.
    pub(crate) fn append_foreign(
        self: &Arc<Self>,
        now: Duration,
        event: &EncodedEvent<'_>,
        limits: &Limits,
    ) -> Result<AppendOutcome, Evicted> {
        let mut state = self.lock()?;
        let Some(position) = state.log.position() else { return Ok(AppendOutcome::Gap) };
        if state.closed {
            return Ok(AppendOutcome::Closed);
        }
        state.log.append_foreign(now, event, limits);
        self.update_totals(&mut state);
        Ok(self.appended(&state, position))
    }

    /// Moves the log to where the broker says that the channel stands: the next event follows that position.
    ///
    /// A log of another epoch starts over. A log that is behind continues there, without the events between. A log that is
    /// there or ahead stays as it is.
    pub(crate) fn open_at(&self, head: &Head) -> Result<(), Evicted> {
        let mut state = self.lock()?;
        if state.closed {
            // Its events are still to be read.
            return Ok(());
        }
        let position = head.position;
        match state.log.position() {
            Some(here) if here.epoch == position.epoch => {
                if here.offset < position.offset {
                    state.log.skip_to(position.offset);
                }
            }
            Some(here)
                if state.log.is_at_origin(head.origin) || here.offset == 0 && head.origins.contains(&here.epoch) =>
            {
                state.log.set_epoch(position.epoch);
                if position.offset > 0 {
                    state.log.skip_to(position.offset);
                }
            }
            _ => state.log.restart(position, head.origin, Vec::new()),
        }
        state.log.set_ancestry(head.origin, head.lineage.clone(), &head.origins);
        self.update_totals(&mut state);
        Ok(())
    }

    /// Moves the log back to an offset of its epoch, because the broker's history differs after it. Readers that have
    /// passed the offset are told `restarted`, and continue there.
    pub(crate) fn rewind(&self, offset: u64) -> Result<(), Evicted> {
        let mut state = self.lock()?;
        let is_there = state.log.position().is_some_and(|here| here.offset >= offset);
        if is_there && !state.closed {
            state.log.rewind(offset);
            self.update_totals(&mut state);
        }
        Ok(())
    }

    /// Continues the log in another epoch, in which the head's position is where the log stands now: nothing was missed.
    ///
    /// Readers that have read everything continue without a reset. If the offsets count anew, the others are told.
    pub(crate) fn continue_at(&self, head: &Head) -> Result<(), Evicted> {
        let mut state = self.lock()?;
        if state.closed {
            return Ok(());
        }
        state.log.continue_in(head.position);
        state.log.set_ancestry(head.origin, head.lineage.clone(), &head.origins);
        self.update_totals(&mut state);
        Ok(())
    }

    /// Makes an open log live: from now on the broker misses no event.
    ///
    /// Readers that waited start after the given position, or after the head if it is `None`, and are told the reset first.
    /// Returns whether the log was not live.
    pub(crate) fn set_live(&self, after: Option<Position>, reset: Option<ResetReason>) -> Result<bool, Evicted> {
        let mut state = self.lock()?;
        let Some(position) = state.log.position().filter(|_| !state.live) else { return Ok(false) };
        state.go_live(after.unwrap_or(position), reset);
        Ok(true)
    }

    /// Returns since when the first of the readers has waited for the log to become live; `None` if no reader waits.
    pub(crate) fn waiting_since(&self) -> Option<Duration> {
        self.state.lock().waiting_since
    }

    /// Makes the log not live: new readers wait.
    pub(crate) fn suspend(&self) -> Result<(), Evicted> {
        self.lock()?.live = false;
        Ok(())
    }

    /// Makes the log not live if it has no reader, so that the next reader is the first one. Returns whether it has none.
    pub(crate) fn suspend_if_unread(&self) -> Result<bool, Evicted> {
        let mut state = self.lock()?;
        let is_unread = state.readers() == 0;
        if is_unread {
            state.live = false;
            state.subscribed = false;
        }
        Ok(is_unread)
    }

    /// Drops the events if the log has no reader and the broker has stopped listening.
    pub(crate) fn clear_if_released(&self) -> Result<(), Evicted> {
        let mut state = self.lock()?;
        if state.readers() == 0 && !state.live && !state.subscribed && !state.is_authority {
            state.log.clear();
            self.update_totals(&mut state);
        }
        Ok(())
    }

    /// Drops the events and begins a generation in which offsets start over.
    pub(crate) fn start_over(&self) -> Result<(), Evicted> {
        let mut state = self.lock()?;
        state.log.start_over(Epoch::random());
        self.update_totals(&mut state);
        Ok(())
    }

    /// Drops the events and keeps the position. If the log has readers, only events from before `keep_from` are dropped,
    /// because newer ones may not have been read yet. Returns whether any event was dropped.
    pub(crate) fn drop_events(&self, keep_from: Duration) -> Result<bool, Evicted> {
        let mut state = self.lock()?;
        let before = state.log.len();
        match state.readers() {
            0 => state.log.clear(),
            _ => state.log.drop_before(keep_from),
        }
        self.update_totals(&mut state);
        Ok(state.log.len() < before)
    }

    fn put(
        self: &Arc<Self>,
        state: &mut LogState,
        now: Duration,
        event: &EncodedEvent<'_>,
        limits: &Limits,
    ) -> AppendOutcome {
        state.counts.published += 1;
        let position = state.log.append(now, event, limits);
        self.update_totals(state);
        self.appended(state, position)
    }

    fn appended(self: &Arc<Self>, state: &LogState, position: Position) -> AppendOutcome {
        AppendOutcome::Appended(Appended { position, receivers: state.readers(), log: self.clone() })
    }
}

impl LogState {
    /// Opens the log and makes it live, unless it is. Returns whether it was not.
    fn open(&mut self, initial: InitialPosition) -> bool {
        if self.live {
            return false;
        }
        if self.log.position().is_none() {
            self.log.begin(initial);
        }
        self.is_authority = true;
        self.go_live(self.log.head(), None);
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
