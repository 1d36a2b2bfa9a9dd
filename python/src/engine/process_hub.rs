//! The hub of an engine in one process, with a runtime if its broker needs one.
//!
//! It is created at the first call, and closed with the engine. From the first stream on a thread sweeps it every second.
//! The thread never enters the interpreter.

use std::{sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use pyo3::PyResult;
use tidecast::{Hub, Publication, Published};
use tidecast_redis::{RedisBroker, RedisConfig};
use tokio::runtime::{Builder, Runtime};

use crate::error::raise;

pub(crate) struct ProcessHub {
    hub: Hub,
    /// The runtime of a Redis broker, until the hub is closed.
    runtime: Mutex<Option<Runtime>>,
    is_in_memory: bool,
    /// Whether the sweeping thread was started.
    is_swept: Mutex<bool>,
}

impl ProcessHub {
    pub(crate) fn new(redis: Option<&RedisConfig>) -> PyResult<Arc<Self>> {
        let (hub, runtime) = match redis {
            None => (Hub::new(), None),
            Some(config) => {
                let mut runtime = Builder::new_multi_thread();
                let runtime = runtime.worker_threads(1).thread_name("tidecast-redis").enable_all().build()?;
                let inside = runtime.enter();
                let hub = Hub::builder().broker(Arc::new(RedisBroker::new(config.clone()).map_err(raise)?)).build();
                drop(inside);
                (hub, Some(runtime))
            }
        };
        let is_in_memory = runtime.is_none();
        Ok(Arc::new(Self { hub, runtime: Mutex::new(runtime), is_in_memory, is_swept: Mutex::default() }))
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Returns whether the hub is in memory, so that a publish never waits.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.is_in_memory
    }

    /// Publishes in the background, and passes the result to `done`.
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

    /// Starts the thread that sweeps the hub every second, unless it runs.
    pub(crate) fn start_sweeping(&self) -> PyResult<()> {
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

    /// Closes the hub, and ends its streams after the events published before.
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

/// The thread makes no deep calls.
const STACK_BYTES: usize = 256 * 1024;
