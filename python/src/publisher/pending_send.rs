//! A publisher's publish that waits for room in a subscriber's feed.
//!
//! Only a call of `outcome` retries it, and dropping it cancels it.

use std::{
    os::fd::RawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use pyo3::prelude::*;
use tidecast::Error;

use crate::{error::raise, fork_local::ForkLocal, notify::wake_fd::WakeFd};

/// Resolves to the number of copies.
type SendFuture = Pin<Box<dyn Future<Output = tidecast::Result<usize>> + Send>>;

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct PendingSend {
    ready: Arc<WakeFd>,
    /// `None` once it was returned.
    outcome: ForkLocal<Mutex<Option<SendFuture>>>,
}

/// The result of a publish.
#[derive(IntoPyObject)]
pub(crate) enum SendResult {
    Sent(usize),
    Pending(PendingSend),
}

impl PendingSend {
    /// Publishes at once, unless a subscriber has no room.
    pub(crate) fn begin(
        py: Python<'_>,
        outcome: impl Future<Output = tidecast::Result<usize>> + Send + 'static,
    ) -> PyResult<SendResult> {
        let mut outcome: SendFuture = Box::pin(outcome);
        // Polled without a waker: the first call of `outcome` polls it again, with one.
        let polled = py.detach(|| outcome.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        match polled {
            Poll::Ready(sent) => sent.map(SendResult::Sent).map_err(raise),
            Poll::Pending => Ok(SendResult::Pending(Self {
                ready: WakeFd::new()?,
                outcome: ForkLocal::new(Mutex::new(Some(outcome))),
            })),
        }
    }
}

#[pymethods]
impl PendingSend {
    fn fileno(&self) -> RawFd {
        self.ready.fileno()
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let outcome = self.outcome.get().ok_or_else(|| raise(Error::unavailable("another process started it")))?;
        let polled = py.detach(|| {
            let mut slot = outcome.lock();
            let Some(outcome) = slot.as_mut() else { return Poll::Pending };
            self.ready.clear();
            let waker = self.ready.clone().into();
            let polled = outcome.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                *slot = None;
            }
            polled
        });
        match polled {
            Poll::Ready(sent) => sent.map(Some).map_err(raise),
            Poll::Pending => Ok(None),
        }
    }
}
