//! One descriptor for all streams of an event loop.

use std::{collections::HashSet, os::fd::RawFd, sync::Arc};

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::notify::wake_fd::WakeFd;

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Selector(Arc<ReadyNumbers>);

/// The numbers of a selector's streams that have events.
pub(crate) struct ReadyNumbers {
    wake_fd: Arc<WakeFd>,
    numbers: Mutex<HashSet<u64>>,
}

impl ReadyNumbers {
    pub(crate) fn add(&self, number: u64) {
        self.numbers.lock().insert(number);
        self.wake_fd.set();
    }
}

impl Selector {
    pub(crate) fn ready(&self) -> Arc<ReadyNumbers> {
        self.0.clone()
    }
}

#[pymethods]
impl Selector {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Arc::new(ReadyNumbers { wake_fd: WakeFd::new()?, numbers: Mutex::default() })))
    }

    fn fileno(&self) -> RawFd {
        self.0.wake_fd.fileno()
    }

    fn take_ready(&self) -> HashSet<u64> {
        self.0.wake_fd.clear();
        std::mem::take(&mut self.0.numbers.lock())
    }
}
