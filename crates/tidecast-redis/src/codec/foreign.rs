//! Reading what others publish, as the subscribers of the two Flask extensions would take it.
//!
//! Where those would die, the payload is poison here and the streams live on. What they would write to a page that no
//! page could read (a type with a line break in it, a reconnection time that is none) is poison or left out.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tidecast::{Event, Limits, limits::RETRY_MAX};

use super::{Reason, not_of_shape};

pub(super) fn decode(text: &str, limits: &Limits) -> Result<Event, Reason> {
    let event = match text.trim_start_matches([' ', '\t', '\n', '\r']).chars().next() {
        Some('{') => object(text)?,
        Some('[') => array(text)?,
        _ => return Err(not_of_shape(text, "is neither an object nor an array")),
    };
    // What a hub refuses from its own publishers is not taken from others either.
    limits.check(&event).map_err(|error| error.to_string())?;
    Ok(event)
}

/// An object of Flask-SSE. `null` and what is missing are the same but for the data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    retry: Option<&'a RawValue>,
}

fn object(text: &str) -> Result<Event, Reason> {
    let Object { data, event_type, id, retry } = serde_json::from_str(text)
        .map_err(|_| not_of_shape(text, "is not an object of `data` and, at most, `type`, `id` and `retry`"))?;
    let mut event = match data.get().as_bytes()[0] {
        b'"' => Event::text(string(data)?),
        _ => Event::raw_json(data.to_owned()),
    };
    if let Some(event_type) = event_type.map(field).transpose()?.flatten() {
        event = event.with_type(event_type).map_err(|error| error.to_string())?;
    }
    if let Some(id) = id.map(field).transpose()?.flatten() {
        event = event.with_id(id).map_err(|error| error.to_string())?;
    }
    if let Some(retry) = retry.map(field).transpose().unwrap_or_default().flatten() {
        event = with_retry(event, &retry)?;
    }
    Ok(event)
}

/// A type or an id as Flask-SSE would write it into its line, and `None` where it would leave the line out: for
/// whatever Python takes for false.
fn field(value: &RawValue) -> Result<Option<String>, Reason> {
    let text = value.get();
    let field = match text.as_bytes()[0] {
        b'"' => Some(string(value)?),
        b't' => Some("True".to_owned()),
        b'n' | b'f' => None,
        b'[' | b'{' if text[1..text.len() - 1].trim().is_empty() => None,
        b'[' | b'{' => return Err("has a field that is not a text".into()),
        _ => (text.parse() != Ok(0.0)).then(|| text.to_owned()),
    };
    Ok(field.filter(|field| !field.is_empty()))
}

/// What is not a number of milliseconds is left out, as a page would pass over it; more than a day is a day.
fn with_retry(event: Event, retry: &str) -> Result<Event, Reason> {
    if !retry.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(event);
    }
    let retry = retry.parse().map_or(RETRY_MAX, Duration::from_millis).min(RETRY_MAX);
    event.with_retry(retry).map_err(|error| error.to_string().into())
}

/// An array of the older extension: `[type, data]`.
fn array(text: &str) -> Result<Event, Reason> {
    let (event_type, data): (&RawValue, &RawValue) =
        serde_json::from_str(text).map_err(|_| not_of_shape(text, "is an array of other than two elements"))?;
    let event = match data.get().as_bytes()[0] {
        b'"' => Event::text(string(data)?),
        b'[' => match serde_json::from_str(data.get()) {
            Ok(Lines(text)) => Event::text(text),
            Err(_) => Event::raw_json(data.to_owned()),
        },
        _ => Event::raw_json(data.to_owned()),
    };
    let event_type = match event_type.get().as_bytes()[0] {
        b'"' => string(event_type)?,
        b'n' => return Ok(event),
        _ => return Err("is an array whose first element is not a text".into()),
    };
    if event_type.is_empty() {
        return Ok(event);
    }
    event.with_type(event_type).map_err(|error| error.to_string().into())
}

/// Half of a surrogate pair is JSON and no text: Flask-SSE can't write it to a socket either.
fn string(value: &RawValue) -> Result<String, Reason> {
    serde_json::from_str(value.get()).map_err(|_| "has a text with half a character".into())
}

/// A list of strings as one text, a line each. Joined as they are read: there may be as many as the payload has bytes.
struct Lines(String);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Join;

        impl<'de> Visitor<'de> for Join {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Lines, A::Error> {
                let mut text: String = lines.next_element()?.unwrap_or_default();
                while let Some(line) = lines.next_element::<String>()? {
                    text.push('\n');
                    text.push_str(&line);
                }
                Ok(Lines(text))
            }
        }

        deserializer.deserialize_seq(Join)
    }
}
