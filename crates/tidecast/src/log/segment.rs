//! A block of memory into which frames are put one after the other, and out of which they are read without a lock.
//!
//! The one file of this crate with `unsafe`. What it buys: the frames of a log lie side by side, so that a backlog of
//! any length leaves in one write, and a reader takes a reference to them instead of a copy; and what piled up leaving
//! in one write is worth several times the throughput of one write a frame. No safe type lets one side of a block grow
//! while the other is shared.
//!
//! Why it is sound: a [`Segment`] has one writer, which alone can write, and writes each byte once, at or past `written`.
//! A view covers bytes below `written` only, so no byte is ever both written and visible. A view is handed to other
//! threads as any value is (here, under the log's lock), which orders the writing before the reading.
//! `tests` here are fit for miri (`cargo +nightly miri test -p tidecast segment`), and `model` here checks the order with loom's cells in place of bytes.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;

/// The writing end.
pub(crate) struct Segment {
    memory: Arc<Memory>,
    written: usize,
    /// What [`Segment::bytes`] slices: made anew when it is asked for more than it covers, so one allocation serves
    /// every reader of a new frame.
    view: Bytes,
}

impl Segment {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { memory: Arc::new(Memory::new(capacity)), written: 0, view: Bytes::new() }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// How many bytes still fit.
    pub(crate) fn room(&self) -> usize {
        self.capacity() - self.written
    }

    /// Puts bytes behind those that are there. The parts must fit.
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.written;
        for part in parts {
            assert!(part.len() <= self.room(), "the caller asked for room first");
            self.memory.write(self.written, part);
            self.written += part.len();
        }
        start..self.written
    }

    /// The bytes of a range that was appended, by reference.
    pub(crate) fn bytes(&mut self, range: Range<usize>) -> Bytes {
        if self.view.len() < range.end {
            self.view = Bytes::from_owner(Written { memory: self.memory.clone(), len: self.written });
        }
        self.view.slice(range)
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("capacity", &self.capacity()).field("written", &self.written).finish()
    }
}

/// The first `len` bytes of a segment, which are never written again.
struct Written {
    memory: Arc<Memory>,
    len: usize,
}

#[cfg(not(tidecast_loom))]
mod memory {
    #![expect(unsafe_code, reason = "see the head of this file")]

    use std::cell::UnsafeCell;

    use super::Written;

    pub(super) struct Memory(Box<[UnsafeCell<u8>]>);

    // SAFETY: the only access through `&Memory` is `write`, which the one `Segment` that owns the writing end calls by
    // `&mut self`, and `Written::as_ref`, which reads below what that `Segment` had written when the `Written` was made.
    // So no two threads access one byte while one of them writes it.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(super) fn new(capacity: usize) -> Self {
            Self((0..capacity).map(|_| UnsafeCell::new(0)).collect())
        }

        pub(super) fn len(&self) -> usize {
            self.0.len()
        }

        /// Writes bytes that no view covers. Only a `Segment` calls this, at or past its `written`.
        pub(super) fn write(&self, at: usize, bytes: &[u8]) {
            let cells = &self.0[at..at + bytes.len()];
            // SAFETY: `cells` is in bounds, by the slicing above, and as long as `bytes`. `UnsafeCell<u8>` has the
            // layout of `u8` and allows writing through a shared reference; nothing reads or writes these bytes
            // meanwhile (see `Sync`), so they don't overlap `bytes` either.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), UnsafeCell::raw_get(cells.as_ptr()), bytes.len());
            }
        }
    }

    impl AsRef<[u8]> for Written {
        fn as_ref(&self) -> &[u8] {
            let cells = &self.memory.0[..self.len];
            // SAFETY: in bounds by the slicing; every byte is initialised from the start; none below `len` is written
            // again while `self` keeps the memory alive.
            unsafe { std::slice::from_raw_parts(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
        }
    }
}

#[cfg(tidecast_loom)]
mod memory {
    //! The same with loom's cells: loom fails a model in which a byte is read and written without an order between.

    use loom::cell::UnsafeCell;

    use super::Written;

    pub(super) struct Memory {
        cells: Vec<UnsafeCell<u8>>,
    }

    #[expect(unsafe_code, reason = "as in the real one")]
    // SAFETY: loom checks each access.
    unsafe impl Sync for Memory {}
    #[expect(unsafe_code, reason = "as in the real one")]
    // SAFETY: loom checks each access.
    unsafe impl Send for Memory {}

    impl Memory {
        pub(super) fn new(capacity: usize) -> Self {
            Self { cells: (0..capacity).map(|_| UnsafeCell::new(0)).collect() }
        }

        pub(super) fn len(&self) -> usize {
            self.cells.len()
        }

        #[expect(unsafe_code, reason = "loom hands out pointers")]
        pub(super) fn write(&self, at: usize, bytes: &[u8]) {
            for (cell, byte) in self.cells[at..].iter().zip(bytes) {
                // SAFETY: the pointer is to the cell's byte; loom checks that nothing else uses it now.
                cell.with_mut(|place| unsafe { *place = *byte });
            }
        }
    }

    impl AsRef<[u8]> for Written {
        #[expect(unsafe_code, reason = "loom hands out pointers")]
        fn as_ref(&self) -> &[u8] {
            let read = self.memory.cells[..self.len].iter().map(|cell| {
                // SAFETY: the pointer is to the cell's byte; loom checks that nothing writes it now.
                cell.with(|place| unsafe { *place })
            });
            // A model is small and short.
            Box::leak(read.collect())
        }
    }
}

use memory::Memory;

#[cfg(all(test, not(tidecast_loom)))]
mod tests {
    use super::Segment;

    #[test]
    fn a_view_stays_as_it_was_while_the_segment_grows_on_another_thread() {
        let mut segment = Segment::new(64);
        let first = segment.append(&[b"one ", b"two "]);
        let early = segment.bytes(first.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(&early[..], b"one two ");
                }
            });
            for _ in 0..10 {
                segment.append(&[b"more"]);
            }
        });
        assert_eq!(segment.room(), 64 - 8 - 40);
        assert_eq!(segment.bytes(first.start..12), "one two more");
        drop(segment);
        assert_eq!(early, "one two ");
    }

    #[test]
    fn frames_that_lie_side_by_side_are_one_slice_without_a_copy() {
        let mut segment = Segment::new(16);
        let one = segment.append(&[b"abc"]);
        let two = segment.append(&[b"def"]);
        let both = segment.bytes(one.start..two.end);
        assert_eq!(both, "abcdef");
        assert_eq!(segment.bytes(two).as_ptr(), both[3..].as_ptr());
    }
}

#[cfg(all(test, tidecast_loom))]
mod model {
    use std::sync::Arc;

    use loom::{sync::Mutex, thread};

    use super::{Segment, Written};

    /// A view is read by whoever got it under the lock, and after the lock is let go of, while the segment grows.
    #[test]
    fn a_view_is_read_without_the_lock_while_the_segment_grows() {
        loom::model(|| {
            let segment = Arc::new(Mutex::new(Segment::new(4)));
            let writer = {
                let segment = segment.clone();
                thread::spawn(move || {
                    for byte in [b"a", b"b", b"c"] {
                        segment.lock().expect("nobody panicked").append(&[byte]);
                    }
                })
            };
            // loom's stand-in for the bytes is read as a whole when a view is made, so the view is made here, outside.
            let view = {
                let segment = segment.lock().expect("nobody panicked");
                Written { memory: segment.memory.clone(), len: segment.written }
            };
            assert!(b"abc".starts_with(view.as_ref()));
            writer.join().expect("it ends well");
        });
    }
}
