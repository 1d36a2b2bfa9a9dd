//! Makes entries of lines.
//!
//! An entry is checked as far as that is possible without the hub, so that an error names its line at once.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidecast::{Channel, EventId, EventType, IdempotencyKey, Limits, limits::RETRY_MAX};

/// The members that all entries of a run share.
#[derive(Debug)]
pub(super) struct EventTemplate {
    pub(super) channel: String,
    pub(super) event_type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) retry: Option<Duration>,
    pub(super) key: Key,
}

/// The idempotency keys of a run.
#[derive(Debug)]
pub(super) enum Key {
    /// The key of the only event.
    Fixed(String),
    /// A prefix, to which the line number is appended.
    Prefix(String),
}

/// An event to be published.
#[derive(Debug)]
pub(super) struct BatchEntry {
    /// The number of its line, from 1.
    pub(super) line: u64,
    /// Its JSON in the array.
    pub(super) json: String,
    /// Whether a hub may have published it without a response.
    pub(super) in_doubt: bool,
}

/// An event in the form that `POST /publish` takes, where unknown and repeated names are errors too.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EventMembers<'a> {
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default, rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<u64>,
    #[serde(borrow, default)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    idempotency_conflict: Option<Cow<'a, str>>,
}

impl EventTemplate {
    /// Checks the shared members.
    pub(super) fn check(&self) -> Result<(), tidecast::Error> {
        Channel::new(&self.channel)?;
        self.event_type.as_deref().map(EventType::new).transpose()?;
        self.id.as_deref().map(EventId::new).transpose()?;
        IdempotencyKey::new(&self.key_of(u64::MAX))?;
        Ok(())
    }

    /// Makes an entry with text as its data.
    pub(super) fn entry(&self, line: u64, text: &str) -> Result<BatchEntry, String> {
        check_size(text.len())?;
        let data = serde_json::value::to_raw_value(text).map_err(|error| error.to_string())?;
        let members = EventMembers {
            channel: Some(Cow::Borrowed(&self.channel)),
            data: &data,
            event_type: self.event_type.as_deref().map(Cow::Borrowed),
            id: self.id.as_deref().map(Cow::Borrowed),
            retry: self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX)),
            idempotency_key: None,
            idempotency_conflict: None,
        };
        self.finish(line, members)
    }

    /// Makes an entry of an event in JSON.
    pub(super) fn entry_of_json(&self, line: u64, text: &str) -> Result<BatchEntry, String> {
        let mut members: EventMembers<'_> = serde_json::from_str(text).map_err(|error| {
            // The error counts lines within the text, which has one.
            let error = error.to_string();
            let what = error.split(" at line ").next().unwrap_or_default();
            format!("is not an event such as {{\"data\": …}}: {what}")
        })?;
        let given = |text: &Option<Cow<'_, str>>| text.as_ref().is_some_and(|text| !text.is_empty());
        if !given(&members.channel) {
            members.channel = Some(Cow::Borrowed(&self.channel));
        }
        members.event_type = members.event_type.take().filter(|text| !text.is_empty());
        members.id = members.id.take().filter(|text| !text.is_empty());
        // Escapes can be longer than the characters they stand for, so only the hub can check the size of a string.
        if !members.data.get().starts_with('"') {
            check_size(members.data.get().len())?;
        }
        self.finish(line, members)
    }

    fn finish(&self, line: u64, mut members: EventMembers<'_>) -> Result<BatchEntry, String> {
        let key = members.idempotency_key.take().unwrap_or_else(|| Cow::Owned(self.key_of(line)));
        let checked = Channel::new(members.channel.as_deref().unwrap_or_default())
            .and_then(|_| members.event_type.as_deref().map(EventType::new).transpose())
            .and_then(|_| members.id.as_deref().map(EventId::new).transpose())
            .and_then(|_| IdempotencyKey::new(&key));
        checked.map_err(|error| error.to_string())?;
        if members.retry.is_some_and(|retry| u128::from(retry) > RETRY_MAX.as_millis()) {
            return Err(format!("the reconnection time is longer than {} h", RETRY_MAX.as_secs() / 3_600));
        }
        members.idempotency_key = Some(key);
        let json = serde_json::to_string(&members).map_err(|error| error.to_string())?;
        Ok(BatchEntry { line, json, in_doubt: false })
    }

    fn key_of(&self, line: u64) -> String {
        match &self.key {
            Key::Fixed(key) => key.clone(),
            Key::Prefix(prefix) => format!("{prefix}-{line}"),
        }
    }
}

fn check_size(bytes: usize) -> Result<(), String> {
    let most = Limits::default().event_data_bytes_max;
    if bytes > most { Err(format!("has {bytes} bytes of data; at most {most} are allowed")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> EventTemplate {
        let key = "run".to_owned();
        EventTemplate { channel: "news".to_owned(), event_type: None, id: None, retry: None, key: Key::Prefix(key) }
    }

    #[test]
    fn a_line_is_an_event_with_a_key() {
        let entry = template().entry(7, "say \"hi\"").unwrap();
        assert_eq!(entry.json, r#"{"channel":"news","data":"say \"hi\"","idempotency_key":"run-7"}"#);
    }

    #[test]
    fn an_event_keeps_what_it_has() {
        let entry = template().entry_of_json(7, r#"{"data": {"eur": 1.10}, "type": "price", "retry": null, "id": ""}"#);
        let expected = r#"{"channel":"news","data":{"eur": 1.10},"type":"price","idempotency_key":"run-7"}"#;
        assert_eq!(entry.unwrap().json, expected);
        let own = r#"{"channel":"a","data":null,"idempotency_key":"k"}"#;
        assert_eq!(template().entry_of_json(7, own).unwrap().json, own);
    }

    #[test]
    fn the_error_for_an_invalid_event_names_the_cause() {
        for (text, part) in [
            ("{", "EOF"),
            ("7", "is not an event"),
            ("{\"type\": \"a\"}", "missing field `data`"),
            ("{\"data\": 1, \"kind\": \"a\"}", "unknown field `kind`"),
            ("{\"data\": 1, \"data\": 2}", "duplicate field `data`"),
            ("{\"data\": 1, \"type\": \"stream-reset\"}", "reserved"),
            ("{\"data\": 1, \"id\": \"a\\nb\"}", "control character"),
            ("{\"data\": 1, \"retry\": 86400001}", "24 h"),
        ] {
            let why = template().entry_of_json(1, text).unwrap_err();
            assert!(why.contains(part) && !why.contains("at line"), "{text}: {why}");
        }
    }
}
