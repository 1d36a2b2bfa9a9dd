//! Everything that a subscription has ready, as slices for one write.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::frame::FrameBounds;

/// The number of parts that an emptied batch keeps room for.
const PARTS_KEPT: usize = 16;

/// The bytes of one write, in order.
///
/// On one channel the parts are references to runs of frames in the log. A batch that is passed again takes no more memory.
#[derive(Debug, Default)]
pub struct Batch {
    parts: Vec<Bytes>,
    len: usize,
    /// Buffer for bytes that no log holds: ids of several channels, and resets.
    scratch: BytesMut,
    /// The bounds of the frames of a run, while they are needed one by one.
    pub(crate) frames: Vec<FrameBounds>,
}

impl Batch {
    /// Creates an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the batch has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Returns the parts in the form that `writev` takes.
    pub fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.parts.iter().map(|part| IoSlice::new(part))
    }

    /// Empties the batch into one piece: by reference if it has one part, else as a copy.
    #[must_use]
    pub fn take_bytes(&mut self) -> Bytes {
        let bytes = if self.parts.len() == 1 {
            self.parts.pop().unwrap_or_default()
        } else {
            self.scratch.reserve(self.len);
            for part in &self.parts {
                self.scratch.extend_from_slice(part);
            }
            self.scratch.split().freeze()
        };
        self.clear();
        bytes
    }

    /// Empties the batch, and keeps its memory for the next time.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
    }

    /// Empties the batch, and frees its memory if that has grown large. For a batch of one subscription that now waits.
    pub fn release(&mut self) {
        self.clear();
        if self.parts.capacity() > PARTS_KEPT || self.frames.capacity() > PARTS_KEPT {
            *self = Self::default();
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.has_remaining() {
            self.len += bytes.len();
            self.parts.push(bytes);
        }
    }

    /// Appends the bytes that `write` writes.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.scratch);
        let bytes = self.scratch.split().freeze();
        self.push(bytes);
    }
}
