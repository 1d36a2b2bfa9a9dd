//! Decodes what other programs publish, as the subscribers of the two Flask extensions would.
//!
//! A payload at which those would fail is invalid. A field that they would pass on though no page can read it, such as a
//! type with a line break or an invalid reconnection time, makes the payload invalid or is left out.

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
    // The limits for a hub's own publishers hold here too.
    limits.check(&event).map_err(|error| error.to_string())?;
    Ok(event)
}

/// An object of Flask-SSE. For all but the data, `null` equals a missing key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlaskObject<'a> {
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
    let FlaskObject { data, event_type, id, retry } = serde_json::from_str(text)
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

/// Returns a type or id as Flask-SSE writes it into its line. It writes no line for a value that is false in Python.
fn field(value: &RawValue) -> Result<Option<String>, Reason> {
    let text = value.get();
    let field = match text.as_bytes()[0] {
        b'"' => Some(string(value)?),
        b't' => Some("True".to_owned()),
        b'n' | b'f' => None,
        b'[' | b'{' if text[1..text.len() - 1].trim().is_empty() => None,
        b'[' | b'{' => return Err("has a field that is not a string".into()),
        _ => (text.parse() != Ok(0.0)).then(|| text.to_owned()),
    };
    Ok(field.filter(|field| !field.is_empty()))
}

/// Sets the reconnection time. Leaves out one that is not a number of milliseconds, as a page ignores it, and shortens
/// one of more than a day.
fn with_retry(event: Event, retry: &str) -> Result<Event, Reason> {
    if !retry.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(event);
    }
    let retry = retry.parse().map_or(RETRY_MAX, Duration::from_millis).min(RETRY_MAX);
    event.with_retry(retry).map_err(|error| error.to_string().into())
}

/// Decodes an array of the older extension: `[type, data]`.
fn array(text: &str) -> Result<Event, Reason> {
    let (event_type, data): (&RawValue, &RawValue) =
        serde_json::from_str(text).map_err(|_| not_of_shape(text, "is not an array of two elements"))?;
    let event = match data.get().as_bytes()[0] {
        b'"' => Event::text(string(data)?),
        b'[' => match serde_json::from_str(data.get()) {
            Ok(JoinedLines(text)) => Event::text(text),
            Err(_) => Event::raw_json(data.to_owned()),
        },
        _ => Event::raw_json(data.to_owned()),
    };
    let event_type = match event_type.get().as_bytes()[0] {
        b'"' => string(event_type)?,
        b'n' => return Ok(event),
        _ => return Err("is an array whose first element is not a string".into()),
    };
    if event_type.is_empty() {
        return Ok(event);
    }
    event.with_type(event_type).map_err(|error| error.to_string().into())
}

/// Parses a string. JSON may have an unpaired surrogate, which Flask-SSE cannot write to a socket either.
fn string(value: &RawValue) -> Result<String, Reason> {
    serde_json::from_str(value.get()).map_err(|_| "has a string with an unpaired surrogate".into())
}

/// A list of strings, joined by newlines while it is parsed: it may have as many elements as the payload has bytes.
struct JoinedLines(String);

impl<'de> Deserialize<'de> for JoinedLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Join;

        impl<'de> Visitor<'de> for Join {
            type Value = JoinedLines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<JoinedLines, A::Error> {
                let mut text: String = lines.next_element()?.unwrap_or_default();
                while let Some(line) = lines.next_element::<String>()? {
                    text.push('\n');
                    text.push_str(&line);
                }
                Ok(JoinedLines(text))
            }
        }

        deserializer.deserialize_seq(Join)
    }
}
