//! What a hub sends, read: its event streams, for those that follow one from here.
//!
//! It knows no socket: whoever has read bytes feeds them. And the rule for channels' names, for those that ask a hub to
//! serve a stream.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use tidecast::{
    Channel, Cursor,
    limits::SUBSCRIPTION_CHANNELS_MAX,
    wire::{self, Item},
};

use crate::error::{invalid, raise};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Decoder(Mutex<Reading>);

#[derive(Default)]
struct Reading {
    decoder: wire::Decoder,
    /// What the stream said last of when to come back.
    retry: Option<Duration>,
    /// The same, where it was said before an event that has not come yet.
    of_event: Option<Duration>,
}

/// An event as a tuple: type, data, own id, reconnection time in milliseconds, the id to go on behind it.
type Heard = (Option<String>, String, Option<String>, Option<u64>, String);

#[pymethods]
impl Decoder {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn feed(&self, data: &[u8]) -> PyResult<Vec<Heard>> {
        let mut reading = self.0.lock();
        let Reading { decoder, retry, of_event } = &mut *reading;
        let mut heard = Vec::new();
        let fed = decoder.feed(data, |item| match item {
            // What stands before an event is of that event, but for what a stream begins with.
            Item::Retry(time) => *of_event = retry.replace(time).and(Some(time)),
            Item::Message(message) => heard.push(told(message, of_event.take())),
            _ => {}
        });
        fed.map_err(raise)?;
        Ok(heard)
    }

    #[getter]
    fn resume_id(&self) -> String {
        self.0.lock().decoder.resume_id().to_owned()
    }

    #[getter]
    fn retry_ms(&self) -> Option<u64> {
        self.0.lock().retry.map(milliseconds)
    }
}

/// See `_native.pyi`.
#[pyfunction]
// The interpreter hands over a list.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn check_channels(channels: Vec<String>) -> PyResult<()> {
    if channels.is_empty() || channels.len() > SUBSCRIPTION_CHANNELS_MAX {
        let why = format!("a stream has 1 to {SUBSCRIPTION_CHANNELS_MAX} channels, not {}", channels.len());
        return Err(invalid(why));
    }
    channels.iter().try_for_each(|name| Channel::new(name).map(drop)).map_err(raise)
}

fn told(message: wire::Message, retry: Option<Duration>) -> Heard {
    let event_type = Some(message.event_type).filter(|event_type| event_type != "message");
    // A position is where it stands, and not an id that somebody gave it.
    let own = Some(message.last_event_id.clone()).filter(|id| !id.is_empty() && id.parse::<Cursor>().is_err());
    (event_type, message.data, own, retry.map(milliseconds), message.last_event_id)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
