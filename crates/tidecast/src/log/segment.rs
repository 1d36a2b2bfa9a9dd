//! Memory that grows at one end while its beginning is read without a lock.
//!
//! This is the only file of the crate with `unsafe` code. It lets the frames of a log lie side by side, so that a reader
//! takes a reference instead of a copy, and a backlog of any length leaves in one write. One write for a backlog has several
//! times the throughput of one write per frame. No safe type lets one side of a buffer grow while the other is shared.
//!
//! It is sound because a [`Segment`] has one writer, which writes each byte once, at or past `written`. A view covers only
//! bytes below `written`, so no byte is ever both written and visible. A view reaches other threads as any value does (here,
//! under the log's lock), which orders the write before the read. The `tests` run under miri
//! (`cargo +nightly miri test -p tidecast segment`), and `model` checks the order with loom's cells instead of bytes.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;

/// A segment of memory, with the right to write to it.
pub(crate) struct Segment {
    memory: Arc<Memory>,
    written: usize,
    /// The bytes that [`Segment::bytes`] slices. It is made anew when more are requested than it covers, so that one
    /// allocation serves every reader of a new frame.
    view: Bytes,
}

impl Segment {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { memory: Arc::new(Memory::new(capacity)), written: 0, view: Bytes::new() }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Returns how many bytes still fit.
    pub(crate) fn room(&self) -> usize {
        self.capacity() - self.written
    }

    /// Appends parts, which must fit. Returns their range.
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.written;
        for part in parts {
            assert!(part.len() <= self.room(), "the caller asked for room first");
            self.memory.write(self.written, part);
            self.written += part.len();
        }
        start..self.written
    }

    /// Returns the bytes of a range that was appended, by reference.
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

    // SAFETY: the only access through `&Memory` is `write`, which the one `Segment` that may write calls with `&mut self`,
    // and `Written::as_ref`, which reads below what that `Segment` had written when the `Written` was made. So no two
    // threads access one byte while one of them writes it.
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
            // layout of `u8` and allows writing through a shared reference. Nothing reads or writes these bytes meanwhile
            // (see `Sync`), so they don't overlap `bytes` either.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), UnsafeCell::raw_get(cells.as_ptr()), bytes.len());
            }
        }
    }

    impl AsRef<[u8]> for Written {
        fn as_ref(&self) -> &[u8] {
            let cells = &self.memory.0[..self.len];
            // SAFETY: `cells` is in bounds, by the slicing above. Every byte is initialized from the start, and none below
            // `len` is written again while `self` keeps the memory alive.
            unsafe { std::slice::from_raw_parts(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
        }
    }
}

#[cfg(tidecast_loom)]
mod memory {
    //! The same with loom's cells. loom fails a model in which a byte is read and written without an order between the two.

    use loom::cell::UnsafeCell;

    use super::Written;

    pub(super) struct Memory {
        cells: Vec<UnsafeCell<u8>>,
    }

    #[expect(unsafe_code, reason = "as in the real memory")]
    // SAFETY: loom checks each access.
    unsafe impl Sync for Memory {}
    #[expect(unsafe_code, reason = "as in the real memory")]
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
                // SAFETY: the pointer is to the cell's byte, and loom checks that nothing else uses it now.
                cell.with_mut(|place| unsafe { *place = *byte });
            }
        }
    }

    impl AsRef<[u8]> for Written {
        #[expect(unsafe_code, reason = "loom hands out pointers")]
        fn as_ref(&self) -> &[u8] {
            let read = self.memory.cells[..self.len].iter().map(|cell| {
                // SAFETY: the pointer is to the cell's byte, and loom checks that nothing writes it now.
                cell.with(|place| unsafe { *place })
            });
            // A model is small and short-lived.
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

    /// A view is taken under the lock, and read after the lock is released, while the segment grows.
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
            // loom's cells are read as a whole when a view is made, so the view is made here, outside of the reading.
            let view = {
                let segment = segment.lock().expect("nobody panicked");
                Written { memory: segment.memory.clone(), len: segment.written }
            };
            assert!(b"abc".starts_with(view.as_ref()));
            writer.join().expect("it ends well");
        });
    }
}
