//! Publishing as JSON: an event, or an array of them.
//!
//! Data that is not a string is kept as the bytes it came in: numbers, key order and white space reach the page as they
//! were published.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use tidecast::{Event, Hub};
use tidecast_axum::Problem;

use super::{Fields, PublishItem, PublishRequest, retry_problem, unknown_name};
use crate::limits::BATCH_MAX;

/// Reads a body. An array is checked whole, against the limits too, and a problem names the index of the entry.
pub(super) fn read(hub: &Hub, body: &str) -> Result<PublishRequest, Problem> {
    let body = body.trim_start_matches([' ', '\t', '\r', '\n']);
    if !body.starts_with('[') {
        return read_event(body).map(PublishRequest::Single);
    }
    let entries: Vec<&RawValue> = serde_json::from_str(body).map_err(|error| malformed(&error))?;
    if entries.len() > BATCH_MAX {
        let detail = format!("{} events at once; at most {BATCH_MAX} are allowed", entries.len());
        return Err(Problem::bad_request(detail));
    }
    let publications = entries.iter().enumerate().map(|(index, entry)| {
        let read = read_event(entry.get()).and_then(|item| {
            hub.check(&item.publication.event)?;
            Ok(item)
        });
        read.map_err(|problem| {
            let detail = format!("entry {index}: {}", problem.detail());
            Problem::new(problem.status(), detail).with("index", index)
        })
    });
    publications.collect::<Result<_, _>>().map(PublishRequest::Batch)
}

fn read_event(text: &str) -> Result<PublishItem, Problem> {
    if !text.starts_with('{') {
        return match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => Err(Problem::bad_request("an event is a JSON object with a member `data`")),
            Err(error) => Err(malformed(&error)),
        };
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let mut fields = Fields::default();
    let mut data = None;
    for (Name(name), value) in members.0 {
        let taken = match &*name {
            "data" => data.replace(read_data(value)?).is_some(),
            "channel" => put(&mut fields.channel, read_string(&name, value)?),
            "type" => put(&mut fields.event_type, read_string(&name, value)?),
            "id" => put(&mut fields.id, read_string(&name, value)?),
            "idempotency_key" => put(&mut fields.idempotency_key, read_string(&name, value)?),
            "idempotency_conflict" => put(&mut fields.idempotency_conflict, read_string(&name, value)?),
            "retry" => put(&mut fields.retry_ms, read_retry(value)?),
            _ => return Err(unknown_name(&name)),
        };
        if taken {
            return Err(Problem::bad_request(format!("`{name}` is given more than once")));
        }
    }
    let data = data.ok_or_else(|| Problem::bad_request("`data` is missing"))?;
    fields.publication(data)
}

/// Puts a value in its place, and tells whether the place was taken. `null` is no value.
fn put<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let taken = place.is_some() && value.is_some();
    if value.is_some() {
        *place = value;
    }
    taken
}

/// A string is sent as the text it stands for, all else as the JSON text that came.
fn read_data(value: &RawValue) -> Result<Event, Problem> {
    if let Some(text) = plain(value) {
        return Ok(Event::text(text));
    }
    if value.get().starts_with('"') {
        return serde_json::from_str::<String>(value.get()).map(Event::text).map_err(|error| malformed(&error));
    }
    Ok(Event::raw_json(value.to_owned()))
}

fn read_string<'a>(name: &str, value: &'a RawValue) -> Result<Option<Cow<'a, str>>, Problem> {
    if let Some(text) = plain(value) {
        return Ok(Some(Cow::Borrowed(text)));
    }
    serde_json::from_str(value.get()).map_err(|_| Problem::bad_request(format!("`{name}` must be a string")))
}

/// A string's text where it is written without an escape: then it stands between the quotes, as the value was found to be
/// JSON before.
fn plain(value: &RawValue) -> Option<&str> {
    let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

fn read_retry(value: &RawValue) -> Result<Option<u64>, Problem> {
    serde_json::from_str(value.get()).map_err(|_| retry_problem())
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("this is not JSON: {error}"))
}

/// An object's members as they came, the same name twice included. There is room for all that an event can have.
struct Members<'a>(SmallVec<[(Name<'a>, &'a RawValue); 7]>);

/// The name of a member, borrowed where it is written without an escape.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReadMembers;

        impl<'de> Visitor<'de> for ReadMembers {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = SmallVec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(ReadMembers)
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReadName;

        impl<'de> Visitor<'de> for ReadName {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(ReadName)
    }
}

#[cfg(test)]
mod tests {
    use super::{PublishItem, read_event};

    #[test]
    fn what_is_written_with_escapes_says_the_same() {
        let plain = read_event(r#"{"channel":"news","data":"a/b","type":"t"}"#).unwrap();
        let escaped = read_event(r#"{"ch\u0061nnel":"n\u0065ws","d\u0061ta":"a\/b","type":"\u0074"}"#).unwrap();
        for PublishItem { publication, .. } in [plain, escaped] {
            assert_eq!(publication.channel, "news");
            assert_eq!(publication.event.data(), "a/b");
            assert_eq!(publication.event.event_type().map(tidecast::EventType::as_str), Some("t"));
        }
    }

    #[test]
    fn text_of_nothing_but_an_escape_is_not_taken_for_its_letters() {
        assert_eq!(read_event(r#"{"data":"\\"}"#).unwrap().publication.event.data(), "\\");
        assert_eq!(read_event(r#"{"data":""}"#).unwrap().publication.event.data(), "");
        assert!(read_event(r#"{"data":"\ud800"}"#).is_err());
    }
}
