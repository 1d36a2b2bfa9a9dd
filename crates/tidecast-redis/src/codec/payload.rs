//! An event as the JSON that is published and stored.
//!
//! The object has no keys but Flask-SSE's four, as its subscribers die of any other. The array is for subscribers of
//! the older extension, who die of data that is not a string. Neither has the position: that is the tail's, which the
//! script writes. `stored` is also what the scripts keep, without a tail.

use serde_json::value::RawValue;
use tidecast::Event;

use super::trailer;
use crate::PlainFormat;

/// An event as it is published.
#[derive(Debug)]
pub(crate) struct Payload {
    /// The JSON, without a trailer; `None` where it is the same as what is stored.
    pub(crate) json: Option<Vec<u8>>,
    /// The first digit of its tail. The script writes the others.
    pub(crate) first_digit: [u8; 2],
}

impl Payload {
    /// `stored` is whether the history will have the whole event. Without that nobody is told to look there.
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

/// The event as it is stored: always the whole of it, as an object.
pub(crate) fn stored(event: &Event) -> Vec<u8> {
    let mut json = Vec::with_capacity(event.data().len() + 64);
    json.extend_from_slice(b"{\"data\":");
    match event.data_json().map(RawValue::get).filter(|raw| !raw.starts_with('"')) {
        Some(raw) => json.extend_from_slice(raw.as_bytes()),
        // A value that is a JSON string goes as text too, with its quotes: as it is it would come back without them,
        // here and at a Flask-SSE.
        None => put_string(&mut json, event.data()),
    }
    if let Some(event_type) = event.event_type() {
        json.extend_from_slice(b",\"type\":");
        put_string(&mut json, event_type.as_str());
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

/// Returns the part of a stored event that is its id. Nothing but `retry` follows it.
pub(crate) fn stored_id(id: &str) -> Vec<u8> {
    let mut json = b",\"id\":".to_vec();
    put_string(&mut json, id);
    json
}

/// The type of an event that has none, in an array.
pub(super) const NO_TYPE: &str = "message";

fn array(event: &Event) -> Vec<u8> {
    let mut json = Vec::with_capacity(event.data().len() + 64);
    json.push(b'[');
    put_string(&mut json, event.event_type().map_or(NO_TYPE, |event_type| event_type.as_str()));
    json.push(b',');
    put_string(&mut json, event.data());
    json.push(b']');
    json
}

/// Whether the array has all of the event. An event of the type `message` would come back as one without a type, which
/// is the same to a page and not the same bytes.
fn fits_array(event: &Event) -> bool {
    let typed_as_none = event.event_type().is_some_and(|event_type| event_type.as_str() == NO_TYPE);
    event.id().is_none() && event.retry().is_none() && !typed_as_none
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON, and a vector takes any bytes");
}
