//! What a subscriber of a publisher reads, as an object that is drained, as a `Stream` is.
//!
//! The feeds of all publishers of a process end when it is told to end: one thread for all of them hears of it, from the
//! first on.

use std::{
    mem::ManuallyDrop,
    os::fd::RawFd,
    process,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyBytes};
use tidecast::{Batch, limits::READ_BYTES_DEFAULT};

use crate::{open_streams::OpenStreams, readable::Readable, termination::Termination};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Feed {
    pid: u32,
    readable: Arc<Readable>,
    /// `None` once it has ended. In the child of a fork it is the parent's, and left as it is.
    reading: ManuallyDrop<Mutex<Option<Reading>>>,
}

/// What reads.
struct Reading {
    feed: tidecast::Feed,
    open: Arc<Process>,
    number: u64,
    waker: Waker,
    batch: Batch,
    /// Whether it ends after what it has.
    ending: bool,
}

impl Feed {
    pub(crate) fn open(feed: tidecast::Feed) -> PyResult<Self> {
        let readable = Readable::new()?;
        let open = Process::present()?;
        let reading = Reading {
            feed,
            number: open.streams.enter(&readable),
            open,
            waker: readable.clone().into(),
            batch: Batch::new(),
            ending: false,
        };
        Ok(Self { pid: process::id(), readable, reading: ManuallyDrop::new(Mutex::new(Some(reading))) })
    }

    /// What reads, unless it has ended or is another process'.
    fn with<T>(&self, read: impl FnOnce(&mut Reading) -> Option<T>) -> Option<T> {
        if self.pid != process::id() {
            return None;
        }
        let mut slot = self.reading.lock();
        let answer = slot.as_mut().and_then(|reading| {
            self.readable.clear();
            read(reading)
        });
        if answer.is_none() {
            let ended = slot.take();
            drop(slot);
            drop(ended);
            // Whoever waits in another thread, now or later, is to see it.
            self.readable.set();
        }
        answer
    }
}

#[pymethods]
impl Feed {
    fn fileno(&self) -> RawFd {
        self.readable.fileno()
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
                self.readable.set();
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
        let ending = self.ending || self.open.streams.is_ending();
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
        self.open.streams.leave(self.number);
    }
}

// === impl Process ===

/// What the feeds of one process have in common.
struct Process {
    pid: u32,
    streams: OpenStreams,
}

/// That of this process, or of a parent, which is left as it is.
static PRESENT: Mutex<Option<ManuallyDrop<Arc<Process>>>> = Mutex::new(None);

impl Process {
    /// That of this process, made at the first call in it. To be called attached to the interpreter, as a fork must not
    /// find the lock taken.
    fn present() -> PyResult<Arc<Self>> {
        let mut slot = PRESENT.lock();
        if let Some(present) = slot.as_ref().filter(|present| present.pid == process::id()) {
            return Ok(Arc::clone(present));
        }
        let present = Arc::new(Self { pid: process::id(), streams: OpenStreams::default() });
        let (told, ended) = (Readable::new()?, present.clone());
        let termination = Termination::tell(&told);
        let listen = move || listen(&told, &ended, &termination);
        thread::Builder::new().name("tidecast-feeds".to_owned()).stack_size(STACK_BYTES).spawn(listen)?;
        *slot = Some(ManuallyDrop::new(present.clone()));
        Ok(present)
    }
}

fn listen(told: &Readable, process: &Process, _termination: &Termination) {
    while !told.wait(Duration::from_secs(3600)) {}
    process.streams.end();
}

/// It calls little, and nothing deep.
const STACK_BYTES: usize = 256 * 1024;
