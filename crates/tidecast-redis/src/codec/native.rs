//! Decodes what `payload` encoded.
//!
//! Strict about the format. An event's size is not checked, because another node has accepted it by its own limits.

use std::{sync::LazyLock, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;
use tidecast::{Event, Limits};

use super::{InvalidPayload, Reason, checked, not_of_shape, payload::NO_TYPE};

/// Checks only that readers can load the data. The node that accepts an event checks its size.
pub(super) static LOADABLE: LazyLock<Limits> = LazyLock::new(|| {
    let mut limits = Limits::default();
    (limits.event_data_bytes_max, limits.frame_bytes_max) = (usize::MAX, usize::MAX);
    limits
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NativeObject<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(rename = "type")]
    event_type: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
}

/// Decodes an entry of a channel's stream.
pub(crate) fn decode_stored(payload: &[u8], limits: &Limits) -> Result<Event, InvalidPayload> {
    checked(payload, limits).and_then(object).map_err(|reason| InvalidPayload { reason, position: None })
}

pub(super) fn decode(text: &str) -> Result<Event, Reason> {
    if text.starts_with('[') { array(text) } else { object(text) }
}

fn object(text: &str) -> Result<Event, Reason> {
    let NativeObject { data, event_type, id, retry } =
        serde_json::from_str(text).map_err(|_| not_of_shape(text, "is not an object as Tidecast writes it"))?;
    let mut event = match serde_json::from_str::<String>(data.get()) {
        Ok(text) => Event::text(text),
        Err(_) => Event::raw_json(data.to_owned()),
    };
    if let Some(event_type) = event_type {
        event = event.with_type(event_type).map_err(|error| error.to_string())?;
    }
    if let Some(id) = id {
        event = event.with_id(id).map_err(|error| error.to_string())?;
    }
    if let Some(retry) = retry {
        event = event.with_retry(Duration::from_millis(retry)).map_err(|error| error.to_string())?;
    }
    LOADABLE.check(&event).map_err(|error| error.to_string())?;
    Ok(event)
}

fn array(text: &str) -> Result<Event, Reason> {
    let (event_type, data): (String, String) =
        serde_json::from_str(text).map_err(|_| not_of_shape(text, "is not an array as Tidecast writes it"))?;
    let event = Event::text(data);
    if event_type == NO_TYPE {
        return Ok(event);
    }
    event.with_type(event_type).map_err(|error| error.to_string().into())
}
