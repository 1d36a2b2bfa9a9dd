//! The waker of a stream: it wakes by a descriptor of the stream's own, or by a selector.
//!
//! The descriptor is created when it is first asked for, so that a stream in a selector has none.

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
    targets: Mutex<Targets>,
}

/// The ways to wake the reader.
#[derive(Default)]
struct Targets {
    wake_fd: Option<Arc<WakeFd>>,
    /// The selector, and the stream's number in it.
    selector: Option<(Arc<ReadyNumbers>, u64)>,
}

impl StreamWaker {
    /// Returns the stream's descriptor, which is readable from `set` to `clear`.
    pub(crate) fn fileno(&self) -> io::Result<RawFd> {
        let mut targets = self.targets.lock();
        let wake_fd = match &targets.wake_fd {
            Some(wake_fd) => wake_fd,
            None => targets.wake_fd.insert(WakeFd::new()?),
        };
        // A `set` before this call found no descriptor.
        if self.is_set.load(Ordering::Acquire) {
            wake_fd.set();
        }
        Ok(wake_fd.fileno())
    }

    /// Registers with a selector, in place of an earlier one.
    pub(crate) fn select(&self, selector: Arc<ReadyNumbers>, number: u64) {
        let mut targets = self.targets.lock();
        if self.is_set.load(Ordering::Acquire) {
            selector.add(number);
        }
        targets.selector = Some((selector, number));
    }

    /// Wakes the reader.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            let targets = self.targets.lock();
            if let Some(wake_fd) = &targets.wake_fd {
                wake_fd.set();
            }
            if let Some((selector, number)) = &targets.selector {
                selector.add(*number);
            }
        }
    }

    /// Resets it. Must be called before looking for what it reported: a `set` in between may cause one look for nothing,
    /// and is never missed.
    pub(crate) fn clear(&self) {
        if let Some(wake_fd) = &self.targets.lock().wake_fd {
            wake_fd.clear();
        }
        // A swap, not a store, to acquire what a thread published before it found the flag set.
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
