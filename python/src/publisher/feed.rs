//! What a subscriber of a publisher reads, as an object that is drained, as a `Stream` is.

use std::{
    mem::ManuallyDrop,
    os::fd::RawFd,
    process,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyBytes};
use tidecast::{Batch, Error, limits::READ_BYTES_DEFAULT};

use crate::{error::raise, notify::stream_waker::StreamWaker, shutdown::Process};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Feed {
    pid: u32,
    waker: Arc<StreamWaker>,
    /// `None` once it has ended. In the child of a fork it is the parent's, and left as it is.
    reading: ManuallyDrop<Mutex<Option<Reading>>>,
}

/// What reads.
struct Reading {
    feed: tidecast::Feed,
    process: Arc<Process>,
    number: u64,
    waker: Waker,
    batch: Batch,
    /// Whether it ends after what it has.
    ending: bool,
}

impl Feed {
    pub(crate) fn open(feed: tidecast::Feed) -> PyResult<Self> {
        let waker = Arc::<StreamWaker>::default();
        let process = Process::present()?;
        let reading = Reading {
            feed,
            number: process.streams.enter(&waker),
            process,
            waker: waker.clone().into(),
            batch: Batch::new(),
            ending: false,
        };
        Ok(Self { pid: process::id(), waker, reading: ManuallyDrop::new(Mutex::new(Some(reading))) })
    }

    /// What reads, unless it has ended or is another process'.
    fn with<T>(&self, read: impl FnOnce(&mut Reading) -> Option<T>) -> Option<T> {
        if self.pid != process::id() {
            return None;
        }
        let mut slot = self.reading.lock();
        let answer = slot.as_mut().and_then(|reading| {
            self.waker.clear();
            read(reading)
        });
        if answer.is_none() {
            let ended = slot.take();
            drop(slot);
            drop(ended);
            // Whoever waits in another thread, now or later, is to see it.
            self.waker.set();
        }
        answer
    }
}

#[pymethods]
impl Feed {
    fn fileno(&self) -> PyResult<RawFd> {
        // In a child its lock may have been taken for ever.
        if self.pid != process::id() {
            return Err(raise(Error::closed()));
        }
        Ok(self.waker.fileno()?)
    }

    // Attached to the interpreter, as a `Stream`'s is.
    fn drain<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.with(Reading::drain).map(|bytes| PyBytes::new(py, &bytes))
    }

    fn waiting(&self) -> usize {
        if self.pid != process::id() {
            return 0;
        }
        self.reading.lock().as_ref().map_or(0, |reading| reading.feed.waiting())
    }

    fn end(&self, py: Python<'_>) {
        py.detach(|| {
            if self.pid == process::id()
                && let Some(reading) = self.reading.lock().as_mut()
            {
                reading.ending = true;
                self.waker.set();
            }
        });
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.with(|_| None::<()>));
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.with(|_| None::<()>);
    }
}

// === impl Reading ===

impl Reading {
    /// All that is ready, up to 64 KiB and what the last frame has beyond; empty for nothing, `None` at the end.
    fn drain(&mut self) -> Option<Bytes> {
        // Before it is looked for, so that what was published before is sent.
        let ending = self.ending || self.process.streams.is_ending();
        let mut context = Context::from_waker(&self.waker);
        match self.feed.poll_batch(&mut context, &mut self.batch, READ_BYTES_DEFAULT) {
            Poll::Ready(true) => Some(self.batch.take_bytes()),
            Poll::Pending if !ending => {
                self.batch.release();
                Some(Bytes::new())
            }
            Poll::Ready(false) | Poll::Pending => None,
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.process.streams.leave(self.number);
    }
}
