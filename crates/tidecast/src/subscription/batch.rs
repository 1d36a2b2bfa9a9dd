//! All that is ready for a subscription at once, as slices fit for one write.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::log::FrameBounds;

/// How many parts an emptied batch keeps room for.
const PARTS_KEPT: usize = 16;

/// Bytes for one write, in order.
///
/// On one channel they are references to stretches of the log, however many frames lie in each. Keep a batch and pass it
/// again: it then takes no more memory.
#[derive(Debug, Default)]
pub struct Batch {
    parts: Vec<Bytes>,
    len: usize,
    /// Where what no log holds is written: ids of several channels, resets.
    scratch: BytesMut,
    /// The frames of a stretch, where they are needed one by one.
    pub(crate) frames: Vec<FrameBounds>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The parts as `writev` takes them.
    pub fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.parts.iter().map(|part| IoSlice::new(part))
    }

    /// Takes all of it as one piece: by reference if it is one part, else copied.
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

    /// Empties it, and keeps the memory for the next time.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
    }

    /// Empties it and lets go of the memory that a large one took: for a batch of one subscription that has now to
    /// wait.
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

    /// Adds what `write` writes.
    pub(crate) fn compose(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.scratch);
        let bytes = self.scratch.split().freeze();
        self.push(bytes);
    }
}
