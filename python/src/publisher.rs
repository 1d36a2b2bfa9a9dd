//! A publisher as an object of the interpreter. Subscribers and channels are numbers here.
//!
//! Python maps the numbers to properties and names. So no object of Python's is hidden from its garbage collector, and no
//! code of the program runs in here.

pub(crate) mod feed;
pub(crate) mod pending_send;

use std::collections::{HashMap, HashSet, VecDeque};

use pyo3::{exceptions::PyValueError, prelude::*};
use tidecast::{Error, Event, FeedOptions, WhenFull};

use crate::{
    error::raise,
    fork_local::ForkLocal,
    publisher::{
        feed::Feed,
        pending_send::{PendingSend, SendResult},
    },
};

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Publisher(ForkLocal<tidecast::Publisher<u64>>);

#[pymethods]
impl Publisher {
    #[new]
    fn new() -> Self {
        Self(ForkLocal::new(tidecast::Publisher::new()))
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
            _ => return Err(PyValueError::new_err("when_full must be 'drop_oldest', 'end' or 'wait'")),
        };
        let publisher = self.inner()?;
        let feed = py.detach(|| {
            let mut options = FeedOptions::default();
            options.initial = initial.into_iter().map(Event::text).collect();
            (options.events_max, options.bytes_max, options.when_full) = (events_max, bytes_max, when_full);
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
            // A subscriber of several of the channels has several.
            let mut by_subscriber: HashMap<u64, VecDeque<String>> = HashMap::with_capacity(made.len());
            for (number, data) in made {
                by_subscriber.entry(number).or_default().push_back(data);
            }
            let event_for = |number: &u64| {
                let data = by_subscriber.get_mut(number).and_then(VecDeque::pop_front);
                data.map(|data| event(data, event_type.as_deref())).transpose()
            };
            publisher.publish_with(names(channels), event_for).await
        })
    }

    fn subscribers(&self, py: Python<'_>, channels: Vec<u64>) -> PyResult<Vec<u64>> {
        let publisher = self.inner()?;
        let subscribers = py.detach(|| publisher.subscribers(names(channels))).map_err(raise)?;
        Ok(subscribers.iter().map(|subscriber| *subscriber.properties()).collect())
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
        self.0.get().ok_or_else(|| raise(Error::unavailable("the publisher belongs to another process")))
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
