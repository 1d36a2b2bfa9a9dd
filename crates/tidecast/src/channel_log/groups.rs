//! The readers of a channel that belong to a group. A publisher notifies each group once, however many readers it has.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{ChannelLog, LogState, Reader};
use crate::{
    log::LogCursor,
    notify::{GroupEntry, GroupWaker, ReadySet},
    wire::frame::FrameBounds,
};

impl ChannelLog {
    /// Moves a reader into a group: the group is woken instead of the reader.
    pub(crate) fn attach(&self, ready_set: &Arc<ReadySet>, waker: &Arc<dyn GroupWaker>, key: u32) {
        let mut state = self.state.lock();
        state.remove(ready_set, 0);
        match state.groups.iter_mut().find(|group| group.is(waker, key)) {
            Some(group) => group.readers += 1,
            None => state.groups.push(GroupEntry { waker: waker.clone(), key, readers: 1 }),
        }
    }

    /// Moves a reader out of its group: the reader is woken again.
    pub(crate) fn detach(&self, ready_set: &Arc<ReadySet>, waker: &Arc<dyn GroupWaker>, key: u32) {
        let mut state = self.state.lock();
        state.readers.push(Reader { ready_set: ready_set.clone(), index: 0 });
        state.leave_group(waker, key);
    }

    /// Removes a reader that belongs to a group.
    pub(crate) fn leave_group(&self, waker: &Arc<dyn GroupWaker>, key: u32, now: Duration) {
        let mut state = self.state.lock();
        state.leave_group(waker, key);
        state.note_last_reader(now);
    }

    /// Reads on from a cursor as [`read`](Self::read) does, without counting: the frames may be given to many readers.
    ///
    /// Returns the bytes and the next sequence number, or `None` if the cursor is no longer in the log.
    pub(crate) fn read_at(
        &self,
        cursor: LogCursor,
        bytes_max: usize,
        on_frame: impl FnMut(FrameBounds),
    ) -> Option<(Bytes, u64)> {
        let mut state = self.state.lock();
        if state.log.generation() != cursor.generation || cursor.next < state.log.first_seq() {
            return None;
        }
        // A reader in a group was there before the events that follow, so it gets every foreign one.
        let run = state.log.read(cursor.next, 0, bytes_max, usize::MAX, on_frame);
        Some((run.bytes, run.next))
    }
}

impl LogState {
    fn leave_group(&mut self, waker: &Arc<dyn GroupWaker>, key: u32) {
        let Some(at) = self.groups.iter().position(|group| group.is(waker, key)) else { return };
        self.groups[at].readers -= 1;
        if self.groups[at].readers == 0 {
            self.groups.swap_remove(at);
        }
    }
}
