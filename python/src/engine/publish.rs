//! What came of a publish, and one that is still on its way.

use std::{os::fd::RawFd, process, sync::Arc};

use parking_lot::Mutex;
use pyo3::prelude::*;
use tidecast::{Error, Publication};

use crate::{engine::process_hub::ProcessHub, error::raise, notify::wake_fd::WakeFd};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
#[derive(Clone)]
pub(crate) struct Published {
    #[pyo3(get)]
    channel: String,
    #[pyo3(get)]
    id: String,
    #[pyo3(get)]
    position: String,
    #[pyo3(get)]
    receivers: usize,
    #[pyo3(get)]
    repeated: bool,
    #[pyo3(get)]
    differs: bool,
    #[pyo3(get)]
    delayed: bool,
}

#[pymethods]
impl Published {
    /// For what another hub has answered.
    #[new]
    #[pyo3(signature = (channel, id, position, receivers, *, repeated = false, differs = false, delayed = false))]
    fn new(
        channel: String,
        id: String,
        position: String,
        receivers: usize,
        repeated: bool,
        differs: bool,
        delayed: bool,
    ) -> Self {
        Self { channel, id, position, receivers, repeated, differs, delayed }
    }

    fn __repr__(&self) -> String {
        format!("<Published {} in {:?} to {}>", self.id, self.channel, self.receivers)
    }
}

impl From<tidecast::Published> for Published {
    fn from(published: tidecast::Published) -> Self {
        Self {
            channel: published.channel.to_string(),
            id: published.id,
            position: published.position.to_string(),
            receivers: published.receivers,
            repeated: published.repeated,
            differs: published.differs,
            delayed: published.delayed,
        }
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct PendingPublish {
    pid: u32,
    outcome: Arc<Mutex<Option<tidecast::Result<tidecast::Published>>>>,
    readable: Arc<WakeFd>,
}

impl PendingPublish {
    pub(crate) fn begin(py: Python<'_>, node: &ProcessHub, publication: Publication) -> PyResult<Self> {
        let readable = WakeFd::new()?;
        let outcome = Arc::new(Mutex::new(None));
        let (put, tell) = (outcome.clone(), readable.clone());
        py.detach(|| {
            node.publish(publication, move |result| {
                *put.lock() = Some(result);
                tell.set();
            });
        });
        Ok(Self { pid: node.pid(), outcome, readable })
    }
}

#[pymethods]
impl PendingPublish {
    fn fileno(&self) -> RawFd {
        self.readable.fileno()
    }

    fn outcome(&self) -> PyResult<Option<Published>> {
        if self.pid != process::id() {
            return Err(raise(Error::unavailable("it was begun in another process").in_doubt()));
        }
        // It was put there whole before anybody was told, and is taken once.
        let outcome = self.outcome.lock().take();
        outcome.map(|result| result.map(Published::from).map_err(raise)).transpose()
    }
}
