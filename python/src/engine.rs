//! The engine: settings that survive a fork, and the hub that each process creates from them.

pub(crate) mod engine_stream;
pub(crate) mod process_hub;
pub(crate) mod publish;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, prelude::*};
use tidecast::{
    Channel, Event, IdempotencyKey, Publication, Start,
    wire::{FirstBlock, IdCommit},
};
use tidecast_redis::{PlainFormat, RedisConfig};

use crate::{
    engine::{
        engine_stream::EngineStream,
        process_hub::ProcessHub,
        publish::{PendingPublish, Published},
    },
    error::raise,
    fork_local::ForkLocal,
};

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Engine {
    redis: Option<RedisConfig>,
    /// Locked only by threads that are attached to the interpreter. The interpreter forks while attached, so no fork finds
    /// the lock held.
    hub: Mutex<Option<ForkLocal<Arc<ProcessHub>>>>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (redis_url=None, *, plain_format="object"))]
    fn new(redis_url: Option<&str>, plain_format: &str) -> PyResult<Self> {
        let format = match plain_format {
            "object" => PlainFormat::Object,
            "array" => PlainFormat::Array,
            _ => return Err(PyValueError::new_err("plain_format must be 'object' or 'array'")),
        };
        let redis = redis_url.map(RedisConfig::from_url).transpose().map_err(raise)?;
        Ok(Self { redis: redis.map(|redis| redis.plain_format(format)), hub: Mutex::new(None) })
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
        let hub = self.hub()?;
        let publication = py
            .detach(|| {
                let event = event(data, json, event_type, id, retry_ms)?;
                let publication = Publication::new(channel, event)?;
                Ok(match idempotency_key {
                    Some(key) => publication.with_idempotency_key(IdempotencyKey::new(key)?),
                    None => publication,
                })
            })
            .map_err(raise)?;
        if !hub.is_in_memory() {
            return PendingPublish::begin(py, &hub, publication).map(PublishResult::Pending);
        }
        let published = py.detach(|| hub.hub().publish_publication_now(&publication)).map_err(raise)?;
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
    ) -> PyResult<EngineStream> {
        let start = match (after, last) {
            (Some(id), Some(last)) => Start::AfterOrLast(id, last),
            (Some(id), None) => Start::After(id),
            (None, Some(last)) => Start::Last(last),
            (None, None) => Start::Live,
        };
        let mut first = FirstBlock::default();
        first.retry = Duration::from_millis(retry_ms);
        first.open_event = open_event;
        first.commit = if commits_at_empty_line { IdCommit::EmptyLine } else { IdCommit::Line };
        EngineStream::open(&*self.hub()?, channels, start, first)
    }

    fn receivers(&self, channel: &str) -> PyResult<usize> {
        let channel = Channel::new(channel).map_err(raise)?;
        Ok(self.hub()?.hub().channel(&channel).map_or(0, |known| known.subscribers))
    }

    fn close(&self) {
        let hub = self.hub.lock().take();
        if let Some(hub) = hub.as_ref().and_then(ForkLocal::get) {
            hub.close();
        }
    }
}

impl Engine {
    /// Returns the hub of this process, which is created at the first call.
    fn hub(&self) -> PyResult<Arc<ProcessHub>> {
        let mut slot = self.hub.lock();
        if let Some(hub) = slot.as_ref().and_then(ForkLocal::get) {
            return Ok(hub.clone());
        }
        // Attached, though it may read certificates: no fork may come meanwhile.
        let hub = ProcessHub::new(self.redis.as_ref())?;
        *slot = Some(ForkLocal::new(hub.clone()));
        Ok(hub)
    }
}

/// The result of `publish`.
#[derive(IntoPyObject)]
enum PublishResult {
    Done(Published),
    Pending(PendingPublish),
}

fn event(
    data: &str,
    json: bool,
    event_type: Option<&str>,
    id: Option<&str>,
    retry_ms: Option<u64>,
) -> tidecast::Result<Event> {
    // Python's `NaN` and `Infinity` are not JSON. As text a page receives the same bytes.
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
