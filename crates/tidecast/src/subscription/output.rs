//! A subscription as wire bytes.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{Batch, ChannelCursor, Step, Subscription, Wait};
use crate::{
    EventId,
    log::ChannelStart,
    position::{POSITION_BYTES_MIN, put_cursor},
    wire::{FirstBlock, put_id_end, reset::put_reset_frame},
};

impl Subscription {
    /// Returns the beginning of the stream on the wire, to be written at once.
    ///
    /// It has the id with which a client that is cut before its first event resumes. If a reset is pending, that id is
    /// where the client was, or an unknown one, so that the reset is not lost with the connection: the client is told when
    /// it returns. While the broker is unavailable, the id comes later, at the beginning of what
    /// [`poll_batch`](Self::poll_batch) returns. Until then a client that sent an id gets it back.
    pub fn first_block(&mut self, block: FirstBlock) -> Bytes {
        self.first_block = block;
        if !self.try_start() {
            let has_id = self.requested.is_some() || self.cursors.iter().all(|cursor| cursor.start.is_after());
            let id = has_id.then(|| self.requested_id());
            return FirstBlock { open_event: false, ..block }.encode(id.as_deref());
        }
        self.has_told_id = true;
        if !self.cursors.iter().any(ChannelCursor::may_reset) {
            return block.encode(Some(&self.cursor().to_string()));
        }
        // The reset is an event with data, and has the id from which the stream continues.
        FirstBlock { open_event: false, ..block }.encode(Some(&self.requested_id()))
    }

    /// Puts everything that is ready into a batch, as wire bytes: up to `bytes_max` bytes, and at least one frame. The last
    /// frame may exceed that. On several channels, so may the ids of the frames, by about as much again.
    ///
    /// Returns `Ready(Some(()))` if the batch has bytes, and `Ready(None)` if the hub is closed and every event before that
    /// is read. If it returns `Pending`, the context's waker is woken once there is something.
    pub fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch, bytes_max: usize) -> Poll<Option<()>> {
        batch.clear();
        let bytes_max = bytes_max.max(1);
        self.ready |= self.awaits_broker;
        loop {
            while batch.len() < bytes_max {
                let bytes_left = bytes_max - batch.len();
                match self.step(context, bytes_left, self.frames_max(bytes_left), &mut batch.frames) {
                    Step::Id => {
                        let cursor = self.cursor().to_string();
                        batch.push_with(|out| self.first_block.put_id(out, &cursor));
                    }
                    Step::Reset(reset) => batch.push_with(|out| put_reset_frame(out, &reset)),
                    Step::Frames(index, bytes) => self.put_frames(index, bytes, batch),
                    Step::Nothing => break,
                }
            }
            if !batch.is_empty() {
                return Poll::Ready(Some(()));
            }
            match self.wait(context) {
                Wait::Ready => {}
                Wait::Closed => return Poll::Ready(None),
                Wait::Pending => return Poll::Pending,
            }
        }
    }

    /// Returns the id that the client asked to resume after: its own id if it can be sent, else the cursor, in which
    /// channels with a pending reset have not moved.
    fn requested_id(&self) -> String {
        if let Some(requested) = &self.requested {
            return requested.text().to_owned();
        }
        match &*self.cursors {
            [ChannelCursor { start: ChannelStart::AfterOwnId(id), .. }] if EventId::new(id).is_ok() => id.to_string(),
            _ => self.cursor().to_string(),
        }
    }

    /// Puts the frames that were read from a channel into a batch. On one channel they go as they lie in the log. On
    /// several channels each frame gets the subscription's cursor for its id.
    fn put_frames(&mut self, index: usize, mut bytes: Bytes, batch: &mut Batch) {
        let mut frames = mem::take(&mut batch.frames);
        if let [only] = &mut *self.cursors {
            if let Some(last) = frames.last() {
                only.position = last.position;
            }
            batch.push(bytes);
        } else {
            for frame in &frames {
                self.cursors[index].position = frame.position;
                let mut bytes = bytes.split_to(frame.len);
                if frame.has_id() {
                    bytes.truncate(frame.shared_len);
                    batch.push(bytes);
                    let positions = self.cursors.iter().map(ChannelCursor::told);
                    batch.push_with(|out| put_id_end(out, |out| put_cursor(out, positions)));
                } else {
                    // A foreign event has no id on any connection.
                    batch.push(bytes);
                }
            }
        }
        frames.clear();
        batch.frames = frames;
    }

    /// Returns how many frames fit into a number of bytes beside their ids. On several channels each frame is sent with a
    /// cursor that the log does not count, and that may be far longer than the frame.
    fn frames_max(&self, bytes: usize) -> usize {
        if self.cursors.len() == 1 { usize::MAX } else { bytes / (self.cursors.len() * POSITION_BYTES_MIN) }
    }
}
