//! A publisher as an object of the interpreter: subscribers and channels are numbers here.
//!
//! What a number stands for, properties and names of any kind, is Python's to know: so nothing of Python's lies where its
//! collector can't see it, and no code of the program runs in here.

pub(crate) mod feed;
pub(crate) mod pending_send;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem::ManuallyDrop,
    process,
};

use pyo3::{exceptions::PyValueError, prelude::*};
use tidecast::{Error, Event, FeedOptions, WhenFull};

use crate::{
    error::raise,
    publisher::feed::Feed,
    publisher::pending_send::{PendingSend, SendResult},
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Publisher {
    pid: u32,
    /// `Some` until it is dropped. In the child of a fork it is the parent's, and left as it is.
    inner: ManuallyDrop<Option<tidecast::Publisher<u64>>>,
}

#[pymethods]
impl Publisher {
    #[new]
    fn new() -> Self {
        Self { pid: process::id(), inner: ManuallyDrop::new(Some(tidecast::Publisher::new())) }
    }

    #[pyo3(signature = (channels, number, initial, *, events_max, bytes_max, when_full))]
    #[allow(clippy::too_many_arguments)]
    fn subscribe(
        &self,
        py: Python<'_>,
        channels: Vec<u64>,
        number: u64,
        initial: Vec<String>,
        events_max: usize,
        bytes_max: usize,
        when_full: &str,
    ) -> PyResult<Feed> {
        let when_full = match when_full {
            "drop_oldest" => WhenFull::DropOldest,
            "end" => WhenFull::End,
            "wait" => WhenFull::Wait,
            _ => return Err(PyValueError::new_err("when_full is neither 'drop_oldest' nor 'end' nor 'wait'")),
        };
        let publisher = self.inner()?;
        let feed = py.detach(|| {
            let initial = initial.into_iter().map(Event::text).collect();
            let options = FeedOptions { initial, events_max, bytes_max, when_full };
            publisher.subscribe(names(channels), number, options)
        });
        Feed::open(feed.map_err(raise)?)
    }

    #[pyo3(signature = (channels, data, *, event_type=None))]
    fn publish(
        &self,
        py: Python<'_>,
        channels: Vec<u64>,
        data: String,
        event_type: Option<String>,
    ) -> PyResult<SendResult> {
        let publisher = self.inner()?.clone();
        PendingSend::begin(
            py,
            async move { publisher.publish(names(channels), event(data, event_type.as_deref())?).await },
        )
    }

    #[pyo3(signature = (channels, made, *, event_type=None))]
    fn publish_each(
        &self,
        py: Python<'_>,
        channels: Vec<u64>,
        made: Vec<(u64, String)>,
        event_type: Option<String>,
    ) -> PyResult<SendResult> {
        let publisher = self.inner()?.clone();
        PendingSend::begin(py, async move {
            // Several for one who is there several times.
            let mut of: HashMap<u64, VecDeque<String>> = HashMap::with_capacity(made.len());
            for (number, data) in made {
                of.entry(number).or_default().push_back(data);
            }
            let event_for = |number: &u64| {
                let data = of.get_mut(number).and_then(VecDeque::pop_front);
                data.map(|data| event(data, event_type.as_deref())).transpose()
            };
            publisher.publish_with(names(channels), event_for).await
        })
    }

    fn subscribers(&self, py: Python<'_>, channels: Vec<u64>) -> PyResult<Vec<u64>> {
        let publisher = self.inner()?;
        let there = py.detach(|| publisher.subscribers(names(channels))).map_err(raise)?;
        Ok(there.iter().map(|subscriber| *subscriber.properties()).collect())
    }

    fn unsubscribe(&self, py: Python<'_>, channels: Vec<u64>, numbers: HashSet<u64>) -> PyResult<usize> {
        let publisher = self.inner()?;
        py.detach(move || publisher.unsubscribe(names(channels), |number| numbers.contains(number))).map_err(raise)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let publisher = self.inner()?;
        py.detach(|| publisher.close());
        Ok(())
    }
}

impl Publisher {
    fn inner(&self) -> PyResult<&tidecast::Publisher<u64>> {
        let own = self.inner.as_ref().filter(|_| self.pid == process::id());
        own.ok_or_else(|| raise(Error::unavailable("the publisher is another process' own")))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.pid == process::id() {
            drop(self.inner.take());
        }
    }
}

fn names(channels: Vec<u64>) -> impl Iterator<Item = String> {
    channels.into_iter().map(|number| number.to_string())
}

fn event(data: String, event_type: Option<&str>) -> tidecast::Result<Event> {
    let event = Event::text(data);
    match event_type {
        Some(event_type) => event.with_type(event_type),
        None => Ok(event),
    }
}
