//! Parses JSON: an event, or an array of events.
//!
//! Data other than a string keeps its bytes, so numbers, key order and white space reach the page as published.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use tidecast::{Event, Hub};
use tidecast_axum::Problem;

use super::item::{Fields, PublishItem, PublishRequest, invalid_retry, missing_data, repeated_name, unknown_name};
use crate::limits::BATCH_MAX;

/// Parses a body. Every event of an array is checked against the limits, and a problem names the index of its event.
pub(super) fn parse(hub: &Hub, body: &str) -> Result<PublishRequest, Problem> {
    let body = body.trim_start_matches([' ', '\t', '\r', '\n']);
    if !body.starts_with('[') {
        return parse_event(body).map(PublishRequest::Single);
    }
    let entries: Vec<&RawValue> = serde_json::from_str(body).map_err(|error| malformed(&error))?;
    if entries.len() > BATCH_MAX {
        let detail = format!("{} events in one request; at most {BATCH_MAX} are allowed", entries.len());
        return Err(Problem::bad_request(detail));
    }
    let publications = entries.iter().enumerate().map(|(index, entry)| {
        let parsed = parse_event(entry.get()).and_then(|item| {
            hub.check(&item.publication.event)?;
            Ok(item)
        });
        parsed.map_err(|problem| {
            let detail = format!("entry {index}: {}", problem.detail());
            Problem::new(problem.status(), detail).with("index", index)
        })
    });
    publications.collect::<Result<_, _>>().map(PublishRequest::Batch)
}

fn parse_event(text: &str) -> Result<PublishItem, Problem> {
    if !text.starts_with('{') {
        return match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => Err(Problem::bad_request("an event is a JSON object with a member `data`")),
            Err(error) => Err(malformed(&error)),
        };
    }
    let members: ObjectMembers<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let mut fields = Fields::default();
    let mut data = None;
    for (Name(name), value) in members.0 {
        let is_repeated = match &*name {
            "data" => data.replace(parse_data(value)?).is_some(),
            "channel" => set(&mut fields.channel, parse_string(&name, value)?),
            "type" => set(&mut fields.event_type, parse_string(&name, value)?),
            "id" => set(&mut fields.id, parse_string(&name, value)?),
            "idempotency_key" => set(&mut fields.idempotency_key, parse_string(&name, value)?),
            "idempotency_conflict" => set(&mut fields.idempotency_conflict, parse_string(&name, value)?),
            "retry" => set(&mut fields.retry_ms, parse_retry(value)?),
            _ => return Err(unknown_name(&name)),
        };
        if is_repeated {
            return Err(repeated_name(&name));
        }
    }
    let data = data.ok_or_else(missing_data)?;
    fields.into_item(data)
}

/// Sets a member, and returns whether it was set before. `null` counts as absent.
fn set<T>(member: &mut Option<T>, value: Option<T>) -> bool {
    let is_repeated = member.is_some() && value.is_some();
    if value.is_some() {
        *member = value;
    }
    is_repeated
}

/// Parses data: a string becomes its text, any other value keeps its JSON.
fn parse_data(value: &RawValue) -> Result<Event, Problem> {
    if let Some(text) = plain(value) {
        return Ok(Event::text(text));
    }
    if value.get().starts_with('"') {
        return serde_json::from_str::<String>(value.get()).map(Event::text).map_err(|error| malformed(&error));
    }
    Ok(Event::raw_json(value.to_owned()))
}

fn parse_string<'a>(name: &str, value: &'a RawValue) -> Result<Option<Cow<'a, str>>, Problem> {
    if let Some(text) = plain(value) {
        return Ok(Some(Cow::Borrowed(text)));
    }
    serde_json::from_str(value.get()).map_err(|_| Problem::bad_request(format!("`{name}` must be a string")))
}

/// Returns the text of a string without escapes, which is what stands between the quotes. The value is known to be JSON.
fn plain(value: &RawValue) -> Option<&str> {
    let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

fn parse_retry(value: &RawValue) -> Result<Option<u64>, Problem> {
    serde_json::from_str(value.get()).map_err(|_| invalid_retry(value.get().trim_matches('"')))
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("this is not JSON: {error}"))
}

/// The members of an object in their order, repeated names included. An event has at most seven different ones.
struct ObjectMembers<'a>(SmallVec<[(Name<'a>, &'a RawValue); 7]>);

/// The name of a member, borrowed if it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = ObjectMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = SmallVec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(ObjectMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
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

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::{PublishItem, parse_event};

    #[test]
    fn escapes_do_not_change_the_meaning() {
        let plain = parse_event(r#"{"channel":"news","data":"a/b","type":"t"}"#).unwrap();
        let escaped = parse_event(r#"{"ch\u0061nnel":"n\u0065ws","d\u0061ta":"a\/b","type":"\u0074"}"#).unwrap();
        for PublishItem { publication, .. } in [plain, escaped] {
            assert_eq!(publication.channel, "news");
            assert_eq!(publication.event.data(), "a/b");
            assert_eq!(publication.event.event_type().map(tidecast::EventType::as_str), Some("t"));
        }
    }

    #[test]
    fn text_of_a_single_escape_is_unescaped() {
        assert_eq!(parse_event(r#"{"data":"\\"}"#).unwrap().publication.event.data(), "\\");
        assert_eq!(parse_event(r#"{"data":""}"#).unwrap().publication.event.data(), "");
        assert!(parse_event(r#"{"data":"\ud800"}"#).is_err());
    }
}
