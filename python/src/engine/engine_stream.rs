//! A subscription as an object of the interpreter, drained as bytes for a socket or read event by event.
//!
//! No call waits: `fileno()` is readable when events are ready, or a selector reports the stream's number.

use std::{
    os::fd::RawFd,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use pyo3::{prelude::*, types::PyBytes};
use tidecast::{
    Batch, Delivery, Start, Subscription,
    limits::READ_BYTES_DEFAULT,
    wire::{FirstBlock, IdCommit, KEEP_ALIVE, final_block},
};

use crate::{
    engine::process_hub::ProcessHub,
    error::raise,
    notify::selector::Selector,
    stream_reader::{ByteSource, ReaderState, StreamReader},
};

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct EngineStream(StreamReader<StreamSource>);

struct StreamSource {
    subscription: Subscription,
    /// The first block, until it was drained.
    first: Option<FirstBlock>,
    /// Whether the last block was drained.
    has_ended: bool,
}

/// An event as a tuple: channel, type, data, whether the data is JSON, own id, reconnection time in milliseconds.
type EventTuple = (String, Option<String>, String, bool, Option<String>, Option<u64>);

impl EngineStream {
    pub(crate) fn open(hub: &ProcessHub, channels: Vec<String>, start: Start, first: FirstBlock) -> PyResult<Self> {
        let subscription = hub.hub().subscribe(channels, start).map_err(raise)?;
        hub.start_sweeping()?;
        StreamReader::new(StreamSource { subscription, first: Some(first), has_ended: false }).map(Self)
    }
}

#[pymethods]
impl EngineStream {
    /// Returns the comment that is sent after a silence.
    #[classattr]
    #[pyo3(name = "KEEP_ALIVE")]
    fn keep_alive(py: Python<'_>) -> Bound<'_, PyBytes> {
        PyBytes::new(py, &KEEP_ALIVE)
    }

    fn fileno(&self) -> PyResult<RawFd> {
        self.0.fileno()
    }

    fn select(&self, selector: &Selector, number: u64) {
        if let Some(waker) = self.0.waker() {
            waker.select(selector.ready(), number);
        }
    }

    // Attached to the interpreter: copying 64 KiB is faster than detaching and attaching again.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let drained = self.0.read(|reading| {
            if let Some(first) = reading.source.first.take() {
                return Some(Ok(PyBytes::new(py, &reading.source.subscription.first_block(first))));
            }
            if reading.source.has_ended {
                return None;
            }
            reading.drain(py).transpose().or_else(|| {
                reading.source.has_ended = true;
                let retry = Duration::from_millis(fastrand::u64(END_RETRY_MS));
                Some(Ok(PyBytes::new(py, &final_block(retry))))
            })
        });
        drained.transpose()
    }

    #[pyo3(signature = (events_max=256))]
    fn events(&self, events_max: usize) -> Option<Vec<EventTuple>> {
        self.0.read(|reading| reading.events(events_max))
    }

    fn cursor(&self) -> Option<String> {
        self.0.access(|reading| reading.source.subscription.cursor().to_string())
    }

    fn close(&self) {
        self.0.close();
    }
}

impl ByteSource for StreamSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> Poll<Option<()>> {
        self.subscription.poll_batch(context, batch, READ_BYTES_DEFAULT)
    }
}

impl ReaderState<StreamSource> {
    /// Returns the events that are ready, up to `events_max`; empty for none, `None` at the end.
    fn events(&mut self, events_max: usize) -> Option<Vec<EventTuple>> {
        let is_ending = self.process_is_ending();
        let mut context = Context::from_waker(&self.waker);
        let mut events = Vec::new();
        while events.len() < events_max.max(1) {
            match pin!(self.source.subscription.next()).poll(&mut context) {
                Poll::Ready(Some(delivery)) => events.push(event_tuple(&delivery)),
                Poll::Ready(None) => return Some(events).filter(|events| !events.is_empty()),
                Poll::Pending => return Some(events).filter(|events| !is_ending || !events.is_empty()),
            }
        }
        Some(events)
    }
}

#[pyfunction]
pub(crate) fn commits_at_empty_line(
    cache_control: Option<&str>,
    user_agent: Option<&str>,
    fetch_mode: Option<&str>,
) -> bool {
    let [cache_control, user_agent, fetch_mode] =
        [cache_control, user_agent, fetch_mode].map(|value| value.map(str::as_bytes));
    IdCommit::of_request(cache_control, user_agent, fetch_mode) == IdCommit::EmptyLine
}

fn event_tuple(delivery: &Delivery) -> EventTuple {
    match delivery {
        Delivery::Event(delivered) => {
            let event = delivered.event();
            let retry = event.retry().and_then(|retry| u64::try_from(retry.as_millis()).ok());
            (
                delivered.channel.to_string(),
                event.event_type().map(ToString::to_string),
                event.data().to_owned(),
                event.data_json().is_some(),
                event.id().map(ToString::to_string),
                retry,
            )
        }
        Delivery::Reset(reset) => {
            let event_type = Some(tidecast::STREAM_RESET.to_owned());
            (reset.channel.to_string(), event_type, reset.data(), true, None, None)
        }
    }
}

/// The range of the reconnection time in the last block. It is drawn, so that clients do not all reconnect at once.
const END_RETRY_MS: std::ops::RangeInclusive<u64> = 1000..=5000;
