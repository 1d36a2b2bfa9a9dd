//! Encodes an event as the JSON that is published and stored.
//!
//! The object has Flask-SSE's four keys only, because its subscribers fail at any other. The array is for subscribers of
//! the older extension, which fail at data that is not a string. The position is in the trailer, which the script writes.

use serde_json::value::RawValue;
use tidecast::{Event, internals::put_json_string};

use super::trailer;
use crate::config::PlainFormat;

/// An event in the format in which it is published.
#[derive(Debug)]
pub(crate) struct Payload {
    /// The JSON without a trailer; `None` if it equals what is stored.
    pub(crate) json: Option<Vec<u8>>,
    /// The first digit of the trailer. The script writes the others.
    pub(crate) first_digit: [u8; 2],
}

impl Payload {
    /// Encodes an event. Only if the history has the whole event (`stored`) may the payload refer to it.
    pub(crate) fn new(event: &Event, format: PlainFormat, stored: bool) -> Self {
        match format {
            PlainFormat::Object => Self { json: None, first_digit: trailer::first_digit(false) },
            PlainFormat::Array => {
                let first_digit = trailer::first_digit(stored && !fits_array(event));
                Self { json: Some(array(event)), first_digit }
            }
        }
    }
}

/// Encodes the whole event as an object, as it is stored.
pub(crate) fn stored(event: &Event) -> Vec<u8> {
    let mut json = Vec::with_capacity(event.data().len() + 64);
    json.extend_from_slice(b"{\"data\":");
    match event.data_json().map(RawValue::get).filter(|raw| !raw.starts_with('"')) {
        Some(raw) => json.extend_from_slice(raw.as_bytes()),
        // A JSON value that is a string is written as a string of its JSON, or it would come back without its quotes.
        None => put_json_string(&mut json, event.data()),
    }
    if let Some(event_type) = event.event_type() {
        json.extend_from_slice(b",\"type\":");
        put_json_string(&mut json, event_type.as_str());
    }
    if let Some(id) = event.id() {
        json.extend(stored_id(id.as_str()));
    }
    if let Some(retry) = event.retry() {
        json.extend_from_slice(format!(",\"retry\":{}", retry.as_millis()).as_bytes());
    }
    json.push(b'}');
    json
}

/// Returns the part of a stored event that has its id. Only `retry` may follow it.
pub(crate) fn stored_id(id: &str) -> Vec<u8> {
    let mut json = b",\"id\":".to_vec();
    put_json_string(&mut json, id);
    json
}

/// The type that an array has for an event without one.
pub(super) const NO_TYPE: &str = "message";

fn array(event: &Event) -> Vec<u8> {
    let mut json = Vec::with_capacity(event.data().len() + 64);
    json.push(b'[');
    put_json_string(&mut json, event.event_type().map_or(NO_TYPE, |event_type| event_type.as_str()));
    json.push(b',');
    put_json_string(&mut json, event.data());
    json.push(b']');
    json
}

/// Returns whether the array has all of the event. An event of type `message` would come back without a type, which is
/// the same to a page but not the same bytes.
fn fits_array(event: &Event) -> bool {
    let typed_as_none = event.event_type().is_some_and(|event_type| event_type.as_str() == NO_TYPE);
    event.id().is_none() && event.retry().is_none() && !typed_as_none
}
