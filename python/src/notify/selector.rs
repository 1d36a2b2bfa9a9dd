//! One descriptor for the streams of a whole event loop.

use std::{collections::HashSet, os::fd::RawFd, sync::Arc};

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::notify::wake_fd::WakeFd;

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Selector(Arc<ReadyNumbers>);

/// The streams of a selector that have something to read, by their numbers there.
pub(crate) struct ReadyNumbers {
    readable: Arc<WakeFd>,
    numbers: Mutex<HashSet<u64>>,
}

impl ReadyNumbers {
    pub(crate) fn add(&self, number: u64) {
        self.numbers.lock().insert(number);
        self.readable.set();
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
        Ok(Self(Arc::new(ReadyNumbers { readable: WakeFd::new()?, numbers: Mutex::default() })))
    }

    fn fileno(&self) -> RawFd {
        self.0.readable.fileno()
    }

    fn take(&self) -> HashSet<u64> {
        self.0.readable.clear();
        std::mem::take(&mut self.0.numbers.lock())
    }
}
