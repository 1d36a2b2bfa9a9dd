//! The engine: settings that outlive a fork, and the node that this process made of them.
//!
//! A process that forks leaves its child the memory of a node, but none of its threads, and sockets that two would read
//! from. So the child leaves that node untouched, neither used nor dropped, and makes one of its own; the pid tells, at
//! every call.

pub(crate) mod process_hub;
pub(crate) mod publish;
pub(crate) mod stream;

use std::{mem::ManuallyDrop, process, sync::Arc, time::Duration};

use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, prelude::*};
use tidecast::{
    Channel, Event, IdempotencyKey, Publication, Start,
    wire::{FirstBlock, IdCommit},
};
use tidecast_redis::{PlainFormat, RedisConfig};

use crate::{
    engine::process_hub::ProcessHub,
    engine::publish::{PendingPublish, Published},
    engine::stream::Stream,
    error::raise,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Engine {
    redis: Option<RedisConfig>,
    /// Taken for a moment, and only by a thread that is attached to the interpreter: so it is never held by another one
    /// at the moment of a fork, which the interpreter makes attached too.
    node: Mutex<Option<ForkedHub>>,
}

/// A node that may be a parent's.
type ForkedHub = ManuallyDrop<Arc<ProcessHub>>;

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (redis_url=None, *, plain_format="object"))]
    fn new(redis_url: Option<&str>, plain_format: &str) -> PyResult<Self> {
        let format = match plain_format {
            "object" => PlainFormat::Object,
            "array" => PlainFormat::Array,
            _ => return Err(PyValueError::new_err("plain_format is neither 'object' nor 'array'")),
        };
        let redis = redis_url.map(RedisConfig::from_url).transpose().map_err(raise)?;
        Ok(Self { redis: redis.map(|redis| redis.plain_format(format)), node: Mutex::new(None) })
    }

    #[getter]
    fn in_memory(&self) -> bool {
        self.redis.is_none()
    }

    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.redis.as_ref().map_or_else(Vec::new, |redis| redis.warnings().to_vec())
    }

    #[pyo3(signature = (channel, data, *, json=false, event_type=None, id=None, retry_ms=None, idempotency_key=None))]
    #[allow(clippy::too_many_arguments)]
    fn publish(
        &self,
        py: Python<'_>,
        channel: &str,
        data: &str,
        json: bool,
        event_type: Option<&str>,
        id: Option<&str>,
        retry_ms: Option<u64>,
        idempotency_key: Option<&str>,
    ) -> PyResult<PublishResult> {
        let node = self.node()?;
        let publication = py
            .detach(|| {
                let event = event(data, json, event_type, id, retry_ms)?;
                let key = idempotency_key.map(IdempotencyKey::new).transpose()?;
                Ok(Publication { channel: Channel::new(channel)?, event, idempotency_key: key })
            })
            .map_err(raise)?;
        if node.waits() {
            return PendingPublish::begin(py, &node, publication).map(PublishResult::Pending);
        }
        let published = py.detach(|| node.publish_now(publication)).map_err(raise)?;
        Ok(PublishResult::Done(published.into()))
    }

    #[pyo3(signature = (
        channels, *, after=None, last=None, retry_ms=3000, open_event=false, commits_at_empty_line=true
    ))]
    #[allow(clippy::too_many_arguments)]
    fn subscribe(
        &self,
        channels: Vec<String>,
        after: Option<Vec<u8>>,
        last: Option<usize>,
        retry_ms: u64,
        open_event: bool,
        commits_at_empty_line: bool,
    ) -> PyResult<Stream> {
        let start = match (after, last) {
            (Some(id), Some(last)) => Start::AfterOrLast(id, last),
            (Some(id), None) => Start::After(id),
            (None, Some(last)) => Start::Last(last),
            (None, None) => Start::Live,
        };
        let commit = if commits_at_empty_line { IdCommit::EmptyLine } else { IdCommit::Line };
        let first = FirstBlock { retry: Duration::from_millis(retry_ms), open_event, commit };
        Stream::open(&self.node()?, channels, start, first)
    }

    fn receivers(&self, channel: &str) -> PyResult<usize> {
        let channel = Channel::new(channel).map_err(raise)?;
        Ok(self.node()?.hub().channel(&channel).map_or(0, |known| known.subscribers))
    }

    fn close(&self) {
        let node = self.node.lock().take();
        if let Some(node) = node.and_then(own) {
            node.close();
        }
    }
}

impl Engine {
    /// The node of this process, made at the first call in it.
    fn node(&self) -> PyResult<Arc<ProcessHub>> {
        let mut slot = self.node.lock();
        if let Some(node) = slot.as_ref().filter(|node| node.pid() == process::id()) {
            return Ok(Arc::clone(node));
        }
        // Attached, though it reads certificates where there are any: it happens once, and nobody may fork meanwhile.
        let node = ProcessHub::new(self.redis.as_ref())?;
        // What was there is a parent's, and is left as it is.
        *slot = Some(ManuallyDrop::new(node.clone()));
        Ok(node)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// What `publish` answers with.
#[derive(IntoPyObject)]
enum PublishResult {
    Done(Published),
    Pending(PendingPublish),
}

/// The node, if it is not a parent's.
fn own(node: ForkedHub) -> Option<Arc<ProcessHub>> {
    (node.pid() == process::id()).then(|| ManuallyDrop::into_inner(node))
}

fn event(
    data: &str,
    json: bool,
    event_type: Option<&str>,
    id: Option<&str>,
    retry_ms: Option<u64>,
) -> tidecast::Result<Event> {
    // What Python writes as JSON and no standard knows, `NaN`, reaches a page as the same bytes when it goes as text.
    let raw = json.then(|| serde_json::from_str(data).ok()).flatten();
    let mut event = raw.map_or_else(|| Event::text(data), Event::raw_json);
    if let Some(event_type) = event_type {
        event = event.with_type(event_type)?;
    }
    if let Some(id) = id {
        event = event.with_id(id)?;
    }
    if let Some(retry_ms) = retry_ms {
        event = event.with_retry(Duration::from_millis(retry_ms))?;
    }
    Ok(event)
}
