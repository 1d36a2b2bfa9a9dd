//! The result of a publish, and a publish that runs in the background.

use std::{os::fd::RawFd, sync::Arc};

use parking_lot::Mutex;
use pyo3::prelude::*;
use tidecast::{Error, Publication};

use crate::{engine::process_hub::ProcessHub, error::raise, fork_local::ForkLocal, notify::wake_fd::WakeFd};

#[pyclass(frozen, module = "tidecast._native", get_all)]
#[derive(Clone)]
pub(crate) struct Published {
    channel: String,
    id: String,
    position: String,
    receivers: usize,
    repeated: bool,
    differs: bool,
    delayed: bool,
}

#[pymethods]
impl Published {
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

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct PendingPublish {
    outcome: ForkLocal<Arc<PublishSlot>>,
    ready: Arc<WakeFd>,
}

/// `None` until the publish is done, and once its result was returned.
type PublishSlot = Mutex<Option<tidecast::Result<tidecast::Published>>>;

impl PendingPublish {
    pub(crate) fn begin(py: Python<'_>, hub: &ProcessHub, publication: Publication) -> PyResult<Self> {
        let (outcome, ready) = (Arc::<PublishSlot>::default(), WakeFd::new()?);
        let (done, notify) = (outcome.clone(), ready.clone());
        py.detach(|| {
            hub.publish(publication, move |result| {
                *done.lock() = Some(result);
                notify.set();
            });
        });
        Ok(Self { outcome: ForkLocal::new(outcome), ready })
    }
}

#[pymethods]
impl PendingPublish {
    fn fileno(&self) -> RawFd {
        self.ready.fileno()
    }

    fn outcome(&self) -> PyResult<Option<Published>> {
        let outcome =
            self.outcome.get().ok_or_else(|| raise(Error::unavailable("another process started it").in_doubt()))?;
        let result = outcome.lock().take();
        result.map(|result| result.map(Published::from).map_err(raise)).transpose()
    }
}
