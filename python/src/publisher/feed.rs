//! The feed of a publisher's subscriber as an object of the interpreter, drained as an `EngineStream` is.

use std::os::fd::RawFd;

use pyo3::{prelude::*, types::PyBytes};

use crate::stream_reader::{ReaderState, StreamReader};

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Feed(StreamReader<tidecast::Feed>);

impl Feed {
    pub(crate) fn open(feed: tidecast::Feed) -> PyResult<Self> {
        StreamReader::new(feed).map(Self)
    }
}

#[pymethods]
impl Feed {
    fn fileno(&self) -> PyResult<RawFd> {
        self.0.fileno()
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.0.read(|reading| reading.drain(py).transpose()).transpose()
    }

    fn waiting(&self) -> usize {
        self.0.access(|reading| reading.source.waiting()).unwrap_or_default()
    }

    fn end(&self, py: Python<'_>) {
        py.detach(|| {
            self.0.access(|reading: &mut ReaderState<_>| {
                reading.is_ending = true;
                reading.waker.wake_by_ref();
            });
        });
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}
