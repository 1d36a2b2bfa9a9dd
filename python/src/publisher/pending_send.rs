//! A publish of a publisher, on its way: it waits where a subscriber has no room that publishers wait for.
//!
//! Nobody moves it on but whoever asks for its outcome, and dropping it is calling it off.

use std::{
    mem::ManuallyDrop,
    os::fd::RawFd,
    pin::Pin,
    process,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use pyo3::prelude::*;
use tidecast::Error;

use crate::{error::raise, notify::wake_fd::WakeFd};

/// What comes of it: how many copies were published.
type Outcome = Pin<Box<dyn Future<Output = tidecast::Result<usize>> + Send>>;

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct PendingSend {
    pid: u32,
    readable: Arc<WakeFd>,
    /// `None` once it was told. In the child of a fork it is the parent's, and left as it is.
    outcome: ManuallyDrop<Mutex<Option<Outcome>>>,
}

/// What publishing answers with.
#[derive(IntoPyObject)]
pub(crate) enum SendResult {
    Sent(usize),
    Pending(PendingSend),
}

impl PendingSend {
    /// Publishes at once, unless somebody has to be waited for.
    pub(crate) fn begin(
        py: Python<'_>,
        outcome: impl Future<Output = tidecast::Result<usize>> + Send + 'static,
    ) -> PyResult<SendResult> {
        let mut outcome: Outcome = Box::pin(outcome);
        // Nobody is woken by this first look; the one that comes with the first question names who waits, then looks.
        let polled = py.detach(|| outcome.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        match polled {
            Poll::Ready(posted) => posted.map(SendResult::Sent).map_err(raise),
            Poll::Pending => Ok(SendResult::Pending(Self {
                pid: process::id(),
                readable: WakeFd::new()?,
                outcome: ManuallyDrop::new(Mutex::new(Some(outcome))),
            })),
        }
    }
}

#[pymethods]
impl PendingSend {
    fn fileno(&self) -> RawFd {
        self.readable.fileno()
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        if self.pid != process::id() {
            return Err(raise(Error::unavailable("it was begun in another process")));
        }
        let polled = py.detach(|| {
            let mut slot = self.outcome.lock();
            let Some(outcome) = slot.as_mut() else { return Poll::Pending };
            self.readable.clear();
            let waker = self.readable.clone().into();
            let polled = outcome.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                *slot = None;
            }
            polled
        });
        match polled {
            Poll::Ready(posted) => posted.map(Some).map_err(raise),
            Poll::Pending => Ok(None),
        }
    }
}

impl Drop for PendingSend {
    fn drop(&mut self) {
        if self.pid == process::id() {
            drop(self.outcome.get_mut().take());
        }
    }
}
