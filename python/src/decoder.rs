//! A decoder of a hub's event streams, and the check of the channels of a stream that a hub is to serve.
//!
//! It knows no socket: the caller feeds it bytes.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use tidecast::{
    Channel, Cursor,
    limits::SUBSCRIPTION_CHANNELS_MAX,
    wire::{self, Item},
};

use crate::error::{invalid, raise};

#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Decoder(Mutex<DecoderState>);

#[derive(Default)]
struct DecoderState {
    decoder: wire::Decoder,
    /// The last reconnection time of the stream.
    retry: Option<Duration>,
    /// The reconnection time of the event that is being decoded.
    event_retry: Option<Duration>,
}

/// An event as a tuple: type, data, own id, reconnection time in milliseconds, the id that resumes after it.
type DecodedEvent = (Option<String>, String, Option<String>, Option<u64>, String);

#[pymethods]
impl Decoder {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn feed(&self, data: &[u8]) -> PyResult<Vec<DecodedEvent>> {
        let mut state = self.0.lock();
        let DecoderState { decoder, retry, event_retry } = &mut *state;
        let mut events = Vec::new();
        let fed = decoder.feed(data, |item| match item {
            // A reconnection time belongs to the event after it, except for the first one, which belongs to the stream.
            Item::Retry(time) => *event_retry = retry.replace(time).and(Some(time)),
            Item::Message(message) => events.push(decoded_event(message, event_retry.take())),
            _ => {}
        });
        fed.map_err(raise)?;
        Ok(events)
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

#[pyfunction]
// Python passes a list.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn check_channels(channels: Vec<String>) -> PyResult<()> {
    if channels.is_empty() || channels.len() > SUBSCRIPTION_CHANNELS_MAX {
        let why = format!("a stream has 1 to {SUBSCRIPTION_CHANNELS_MAX} channels, not {}", channels.len());
        return Err(invalid(why));
    }
    channels.iter().try_for_each(|name| Channel::new(name).map(drop)).map_err(raise)
}

fn decoded_event(message: wire::Message, retry: Option<Duration>) -> DecodedEvent {
    let event_type = Some(message.event_type).filter(|event_type| event_type != "message");
    // An id that is a position was not given by a publisher.
    let own_id = Some(message.last_event_id.clone()).filter(|id| !id.is_empty() && id.parse::<Cursor>().is_err());
    (event_type, message.data, own_id, retry.map(milliseconds), message.last_event_id)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
