//! What an engine is in one process: a hub, and a runtime where the broker needs one.
//!
//! Made at the first call, and ended with the engine. One thread of its own, from the first stream on, sweeps the hub
//! every second; it never enters the interpreter.

use std::{process, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use pyo3::PyResult;
use tidecast::{Hub, Publication, Published};
use tidecast_redis::{RedisBroker, RedisConfig};
use tokio::runtime::{Builder, Runtime};

use crate::error::raise;

pub(crate) struct ProcessHub {
    pid: u32,
    hub: Hub,
    /// Only where the broker is Redis. `None` again once it is closed.
    runtime: Mutex<Option<Runtime>>,
    waits: bool,
    /// Whether its thread was started.
    is_swept: Mutex<bool>,
}

impl ProcessHub {
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
            is_swept: Mutex::default(),
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

    /// Sweeps the hub from now on, every second. To be called when it has its first stream.
    pub(crate) fn sweep(&self) -> PyResult<()> {
        let mut is_swept = self.is_swept.lock();
        if !*is_swept && let Some(sweeper) = self.hub.sweeper() {
            let sweep = move || {
                while sweeper.sweep() {
                    thread::sleep(SWEEP_EVERY);
                }
            };
            thread::Builder::new().name("tidecast".to_owned()).stack_size(STACK_BYTES).spawn(sweep)?;
            *is_swept = true;
        }
        Ok(())
    }

    /// Ends the hub, and all streams after what was published before.
    pub(crate) fn close(&self) {
        self.hub.close();
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for ProcessHub {
    fn drop(&mut self) {
        self.close();
    }
}

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// It calls little, and nothing deep.
const STACK_BYTES: usize = 256 * 1024;
