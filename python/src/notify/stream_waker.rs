//! What wakes the reader of a stream: a descriptor of the stream's own, or a selector that many streams share.
//!
//! The descriptor is made when it is first asked for, so that a stream whose reader is told through a selector has none.

use std::{
    io,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use parking_lot::Mutex;

use crate::{notify::selector::ReadyNumbers, notify::wake_fd::WakeFd};

#[derive(Default)]
pub(crate) struct StreamWaker {
    is_set: AtomicBool,
    told: Mutex<Told>,
}

/// Who is told.
#[derive(Default)]
struct Told {
    readable: Option<Arc<WakeFd>>,
    /// The selector, and the stream's number there.
    selector: Option<(Arc<ReadyNumbers>, u64)>,
}

impl StreamWaker {
    /// Returns the stream's own descriptor, which is readable from `set` to `clear`.
    pub(crate) fn fileno(&self) -> io::Result<RawFd> {
        let mut told = self.told.lock();
        let readable = match &told.readable {
            Some(readable) => readable,
            None => told.readable.insert(WakeFd::new()?),
        };
        // What sets it from now on finds the descriptor; what has set it before has found none.
        if self.is_set.load(Ordering::Acquire) {
            readable.set();
        }
        Ok(readable.fileno())
    }

    /// Sets the selector that is told from now on, in the place of another one.
    pub(crate) fn select(&self, selector: Arc<ReadyNumbers>, number: u64) {
        let mut told = self.told.lock();
        if self.is_set.load(Ordering::Acquire) {
            selector.add(number);
        }
        told.selector = Some((selector, number));
    }

    /// Wakes the reader.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            let told = self.told.lock();
            if let Some(readable) = &told.readable {
                readable.set();
            }
            if let Some((selector, number)) = &told.selector {
                selector.add(*number);
            }
        }
    }

    /// Takes that back; to be called before looking for what it told of. A `set` in between is at worst a look for
    /// nothing, and never missed.
    pub(crate) fn clear(&self) {
        if let Some(readable) = &self.told.lock().readable {
            readable.clear();
        }
        // A swap, not a store: it takes over what happened before whoever set it and found it set.
        self.is_set.swap(false, Ordering::AcqRel);
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}
