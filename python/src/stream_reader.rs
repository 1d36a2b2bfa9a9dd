//! The reading end of a stream or a feed: read by one thread at a time, until it ends.

use std::{
    os::fd::RawFd,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyBytes};
use tidecast::{Batch, Error, Feed, limits::READ_BYTES_DEFAULT};

use crate::{
    error::raise,
    fork_local::ForkLocal,
    notify::stream_waker::StreamWaker,
    shutdown::{ProcessStreams, RegisteredStream},
};

/// A source of wire bytes.
pub(crate) trait ByteSource {
    /// Polls as [`Feed::poll_batch`] does.
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> Poll<Option<()>>;
}

impl ByteSource for Feed {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> Poll<Option<()>> {
        Self::poll_batch(self, context, batch, READ_BYTES_DEFAULT)
    }
}

/// The reading end. In the child of a fork it has ended.
pub(crate) struct StreamReader<S> {
    waker: Arc<StreamWaker>,
    /// `None` once it has ended.
    reading: ForkLocal<Mutex<Option<ReaderState<S>>>>,
}

/// The state of a reader until it ends.
pub(crate) struct ReaderState<S> {
    pub(crate) source: S,
    pub(crate) waker: Waker,
    open: RegisteredStream,
    batch: Batch,
    /// Set to end it after the events that are ready.
    pub(crate) is_ending: bool,
}

impl<S> StreamReader<S> {
    pub(crate) fn new(source: S) -> PyResult<Self> {
        let waker = Arc::<StreamWaker>::default();
        let open = ProcessStreams::current()?.open(&waker);
        let reading = ReaderState { source, waker: waker.clone().into(), open, batch: Batch::new(), is_ending: false };
        Ok(Self { waker, reading: ForkLocal::new(Mutex::new(Some(reading))) })
    }

    /// Reads what is new. If `read` returns `None`, the reader ends.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut ReaderState<S>) -> Option<T>) -> Option<T> {
        let mut slot = self.reading.get()?.lock();
        let result = slot.as_mut().and_then(|reading| {
            self.waker.clear();
            read(reading)
        });
        if result.is_none() {
            let ended = slot.take();
            drop(slot);
            drop(ended);
            // For a thread that waits, now or later.
            self.waker.set();
        }
        result
    }

    /// Accesses the state without taking notice of what is new; `None` after the end.
    pub(crate) fn access<T>(&self, access: impl FnOnce(&mut ReaderState<S>) -> T) -> Option<T> {
        self.reading.get()?.lock().as_mut().map(access)
    }

    /// Ends it, and wakes the thread that waits for it.
    pub(crate) fn close(&self) {
        self.read(|_| None::<()>);
    }

    pub(crate) fn fileno(&self) -> PyResult<RawFd> {
        Ok(self.waker().ok_or_else(|| raise(Error::closed()))?.fileno()?)
    }

    /// Returns the waker; `None` in the child of a fork, where its lock may be held for ever.
    pub(crate) fn waker(&self) -> Option<&StreamWaker> {
        self.reading.get().map(|_| &*self.waker)
    }
}

impl<S> Drop for StreamReader<S> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<S: ByteSource> ReaderState<S> {
    /// Returns the bytes that are ready, up to 64 KiB and the rest of the last frame; empty for none, `None` at the end.
    pub(crate) fn drain<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        // Read before polling, so that all events from before the end are sent.
        let is_ending = self.is_ending || self.open.is_ending();
        match self.source.poll_batch(&mut Context::from_waker(&self.waker), &mut self.batch) {
            Poll::Ready(Some(())) => {
                let bytes = PyBytes::new_with(py, self.batch.len(), |mut room| {
                    for part in self.batch.parts() {
                        let (here, rest) = room.split_at_mut(part.len());
                        here.copy_from_slice(part);
                        room = rest;
                    }
                    Ok(())
                });
                // Lets go of the log's memory.
                self.batch.clear();
                bytes.map(Some)
            }
            Poll::Pending if !is_ending => {
                self.batch.release();
                Ok(Some(PyBytes::new(py, b"")))
            }
            Poll::Ready(None) | Poll::Pending => Ok(None),
        }
    }
}

impl<S> ReaderState<S> {
    /// Returns whether the process was told to end its streams.
    pub(crate) fn process_is_ending(&self) -> bool {
        self.open.is_ending()
    }
}
