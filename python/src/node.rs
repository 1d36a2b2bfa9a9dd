//! What an engine is in one process: a hub, a runtime where the broker needs one, and the streams that are open.
//!
//! Made at the first call, and ended with the engine. One thread of its own, from the first stream on, sweeps the hub
//! every second and ends the streams when the process is told to end; it never enters the interpreter.

use std::{
    process,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use pyo3::PyResult;
use tidecast::{Hub, Publication, Published, Sweeper};
use tidecast_redis::{RedisBroker, RedisConfig};
use tokio::runtime::{Builder, Runtime};

use crate::{error::raise, open_streams::OpenStreams, readable::Readable, termination::Termination};

pub(crate) struct Node {
    pid: u32,
    hub: Hub,
    /// Only where the broker is Redis. `None` again once it is closed.
    runtime: Mutex<Option<Runtime>>,
    waits: bool,
    streams: OpenStreams,
    /// Whether its thread was started.
    kept: Mutex<bool>,
}

impl Node {
    pub(crate) fn new(redis: Option<&RedisConfig>) -> PyResult<Arc<Self>> {
        let mut hub = Hub::builder();
        let mut runtime = None;
        if let Some(config) = redis {
            let made =
                Builder::new_multi_thread().worker_threads(1).thread_name("tidecast-redis").enable_all().build()?;
            let inside = made.enter();
            hub = hub.broker(Arc::new(RedisBroker::new(config.clone()).map_err(raise)?));
            drop(inside);
            runtime = Some(made);
        }
        let hub = {
            let _inside = runtime.as_ref().map(Runtime::enter);
            hub.build()
        };
        Ok(Arc::new(Self {
            pid: process::id(),
            hub,
            waits: runtime.is_some(),
            runtime: Mutex::new(runtime),
            streams: OpenStreams::default(),
            kept: Mutex::default(),
        }))
    }

    /// The process that made it, and that alone may use it.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Whether publishing may have to wait.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// Publishes where nothing waits.
    pub(crate) fn publish_now(&self, publication: Publication) -> tidecast::Result<Published> {
        let Publication { channel, event, idempotency_key } = publication;
        match idempotency_key {
            Some(key) => self.hub.publish_once_now(channel, event, key),
            None => self.hub.publish_now(channel, event),
        }
    }

    /// Publishes where it may wait, in the background, and hands on what came of it.
    pub(crate) fn publish(
        &self,
        publication: Publication,
        done: impl FnOnce(tidecast::Result<Published>) + Send + 'static,
    ) {
        let hub = self.hub.clone();
        match &*self.runtime.lock() {
            Some(runtime) => drop(runtime.spawn(async move { done(hub.publish_publication(publication).await) })),
            None => done(Err(tidecast::Error::closed())),
        }
    }

    /// Enters a stream, to be woken at the end. Answers with its number, under which it leaves.
    pub(crate) fn enter(self: &Arc<Self>, readable: &Arc<Readable>) -> PyResult<u64> {
        let mut kept = self.kept.lock();
        if !*kept {
            self.keep()?;
            *kept = true;
        }
        Ok(self.streams.enter(readable))
    }

    pub(crate) fn leave(&self, number: u64) {
        self.streams.leave(number);
    }

    /// Whether the streams are to end at what was published by now.
    pub(crate) fn is_ending(&self) -> bool {
        self.streams.is_ending()
    }

    /// Ends the hub, and all streams after what was published before.
    pub(crate) fn close(&self) {
        self.hub.close();
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }

    /// Starts the thread that sweeps and that hears of the end.
    fn keep(self: &Arc<Self>) -> PyResult<()> {
        let Some(sweeper) = self.hub.sweeper() else { return Ok(()) };
        let told = Readable::new()?;
        let termination = Termination::tell(&told);
        let node = Arc::downgrade(self);
        let keep = move || keep(&node, &sweeper, &told, &termination);
        thread::Builder::new().name("tidecast".to_owned()).stack_size(STACK_BYTES).spawn(keep)?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

fn keep(node: &Weak<Node>, sweeper: &Sweeper, told: &Readable, _termination: &Termination) {
    loop {
        if told.wait(SWEEP_EVERY) {
            told.clear();
            if let Some(node) = node.upgrade() {
                node.streams.end();
            }
        }
        if !sweeper.sweep() {
            return;
        }
    }
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// It calls little, and nothing deep.
const STACK_BYTES: usize = 256 * 1024;
