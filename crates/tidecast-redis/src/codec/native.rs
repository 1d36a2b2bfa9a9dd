//! Reading back what `payload` wrote.
//!
//! Strictly, and without a look at the limits for an event's parts: another node has accepted it under its own.

use std::{sync::LazyLock, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;
use tidecast::{Event, Limits};

use super::{InvalidPayload, Reason, checked, not_of_shape, payload::NO_TYPE};

/// Sizes are for the node to refuse that accepts an event; whether readers can load the data is not.
static LOADABLE: LazyLock<Limits> =
    LazyLock::new(|| Limits { event_data_bytes_max: usize::MAX, frame_bytes_max: usize::MAX, ..Limits::default() });

/// `None` for `null` would be no event of ours; `data` is `null` there only where it says so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(rename = "type")]
    event_type: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
}

/// Reads what is kept in the stream.
pub(crate) fn decode_stored(payload: &[u8], limits: &Limits) -> Result<Event, InvalidPayload> {
    checked(payload, limits).and_then(object).map_err(|reason| InvalidPayload { reason, position: None })
}

pub(super) fn decode(text: &str) -> Result<Event, Reason> {
    if text.starts_with('[') { array(text) } else { object(text) }
}

fn object(text: &str) -> Result<Event, Reason> {
    let Object { data, event_type, id, retry } =
        serde_json::from_str(text).map_err(|_| not_of_shape(text, "is an object that no Tidecast wrote"))?;
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
        serde_json::from_str(text).map_err(|_| not_of_shape(text, "is an array that no Tidecast wrote"))?;
    let event = Event::text(data);
    if event_type == NO_TYPE {
        return Ok(event);
    }
    event.with_type(event_type).map_err(|error| error.to_string().into())
}
