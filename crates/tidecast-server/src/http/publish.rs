//! What a `POST /publish` says, in each of its forms, as publications.
//!
//! Nothing is published here. A body is read whole and strictly: a name that says nothing is an error, because it is most
//! likely a misspelt one.

pub(crate) mod answer;
pub(crate) mod fast_path;
mod json;
mod pairs;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, StatusCode, header};
use mime::Mime;
use tidecast::{Channel, Event, EventId, EventType, Hub, IdempotencyKey, Publication, limits::RETRY_MAX};
use tidecast_axum::Problem;

use crate::http::parameters;

/// What is to be published, and how it is to be answered.
#[derive(Debug)]
pub(crate) enum PublishRequest {
    /// One event; the answer is an object.
    Single(PublishItem),
    /// Several; the answer is an array.
    Batch(Vec<PublishItem>),
}

/// An event that is to be published.
#[derive(Debug)]
pub(crate) struct PublishItem {
    pub(crate) publication: Publication,
    /// Whether it is an error if its idempotency key belongs to another event; else that is answered as a repetition.
    pub(crate) refuses_conflict: bool,
}

/// The form that a body has.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Pairs,
    Text,
}

/// The members of an event besides its data, before they are parsed.
#[derive(Debug, Default)]
struct Fields<'a> {
    channel: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    retry_ms: Option<u64>,
    idempotency_key: Option<Cow<'a, str>>,
    idempotency_conflict: Option<Cow<'a, str>>,
}

/// The header with the key, and the name that some clients give it. Constants, as a name that is text would be parsed at
/// each look.
static IDEMPOTENCY_KEY: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];

/// The labels of UTF-8 in the WHATWG Encoding standard.
const UTF_8_LABELS: [&str; 6] =
    ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];

/// The byte order mark, by which some editors and shells begin UTF-8.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads a request, and checks every event in it against the hub's limits.
pub(crate) fn read(hub: &Hub, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<PublishRequest, Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(unsupported("a compressed body is not taken"));
    }
    // Before what has a syntax it is no part of that. Text is the data itself, and arrives as it came.
    let unmarked = body.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(body);
    let mut asked = match form(headers)? {
        Form::Json => {
            refuse_query(query)?;
            json::read(hub, utf8(unmarked)?)?
        }
        Form::Pairs => {
            refuse_query(query)?;
            if unmarked.trim_ascii_start().starts_with(b"{") {
                return Err(Problem::bad_request(
                    "this is JSON that was sent as a form: add the header `Content-Type: application/json` \
                     (with curl: -H 'Content-Type: application/json')",
                ));
            }
            PublishRequest::Single(pairs::read_form(unmarked)?)
        }
        Form::Text => PublishRequest::Single(pairs::read_text(query, utf8(body)?)?),
    };
    take_key_headers(headers, &mut asked)?;
    if let PublishRequest::Single(item) = &asked {
        hub.check(&item.publication.event)?;
    }
    Ok(asked)
}

impl Fields<'_> {
    /// Parses the members and puts them around the data. What is empty counts as not given, but for the key: who sends
    /// an empty key believes that repeating is safe.
    fn publication(self, data: Event) -> Result<PublishItem, Problem> {
        fn given(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
            text.filter(|text| !text.is_empty())
        }
        let channel = given(self.channel).map_or_else(|| Ok(Channel::default()), |name| Channel::new(&name))?;
        let mut event = data;
        if let Some(event_type) = given(self.event_type) {
            event = event.with_type(EventType::new(&event_type)?)?;
        }
        if let Some(id) = given(self.id) {
            event = event.with_id(EventId::new(&id)?)?;
        }
        if let Some(retry_ms) = self.retry_ms {
            event = event.with_retry(std::time::Duration::from_millis(retry_ms))?;
        }
        let mut publication = Publication::new(channel, event)?;
        publication.idempotency_key = self.idempotency_key.map(|key| IdempotencyKey::new(&key)).transpose()?;
        let refuses_conflict = match given(self.idempotency_conflict).as_deref() {
            Some("error") => true,
            Some("ignore") | None => false,
            Some(_) => return Err(Problem::bad_request("`idempotency_conflict` must be `error` or `ignore`")),
        };
        Ok(PublishItem { publication, refuses_conflict })
    }
}

/// Takes the key from the header `Idempotency-Key`, or `X-Idempotency-Key`, which is for a single event. Each key that is
/// given, by a header or in the event, must be the same.
fn take_key_headers(headers: &HeaderMap, asked: &mut PublishRequest) -> Result<(), Problem> {
    for (name, shown) in IDEMPOTENCY_KEY.iter().zip(["Idempotency-Key", "X-Idempotency-Key"]) {
        for key in headers.get_all(name) {
            let PublishRequest::Single(PublishItem { publication, .. }) = &mut *asked else {
                return Err(Problem::bad_request(format!(
                    "the header `{shown}` is for a single event; in an array give each its `idempotency_key`"
                )));
            };
            let key = std::str::from_utf8(key.as_bytes())
                .map_err(|_| Problem::bad_request(format!("the header `{shown}` is not UTF-8")))?;
            let key = IdempotencyKey::new(key)?;
            if publication.idempotency_key.as_ref().is_some_and(|other| *other != key) {
                return Err(Problem::bad_request(format!(
                    "two idempotency keys that differ: the header `{shown}` and what else names one (the member \
                     `idempotency_key`, another header)"
                )));
            }
            publication.idempotency_key = Some(key);
        }
    }
    Ok(())
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let Some(text) = headers.get(header::CONTENT_TYPE) else {
        return Err(unsupported("the body's `Content-Type` is missing"));
    };
    // As nearly every program writes it, so that it need not be taken apart.
    if text == "application/json" {
        return Ok(Form::Json);
    }
    let media_type: Option<Mime> = text.to_str().ok().and_then(|text| text.parse().ok());
    let media_type = media_type.ok_or_else(|| {
        unsupported(&format!("the body's `Content-Type`, `{}`, is not a media type", text.as_bytes().escape_ascii()))
    })?;
    if let Some(charset) = media_type.get_param(mime::CHARSET)
        && !UTF_8_LABELS.iter().any(|label| charset.as_str().trim().eq_ignore_ascii_case(label))
    {
        return Err(unsupported(&format!("the charset is `{charset}`, and only UTF-8 is taken")));
    }
    match media_type.essence_str() {
        "application/json" => Ok(Form::Json),
        "application/x-www-form-urlencoded" => Ok(Form::Pairs),
        "text/plain" => Ok(Form::Text),
        other => Err(unsupported(&format!("`{other}` is not taken"))),
    }
}

fn unsupported(why: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("{why}; send application/json, text/plain or application/x-www-form-urlencoded"),
    )
}

fn refuse_query(query: &str) -> Result<(), Problem> {
    if query.is_empty() {
        return Ok(());
    }
    Err(Problem::bad_request("parameters in the address are for text/plain only; here they go into the body"))
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))
}

fn retry_problem() -> Problem {
    Problem::bad_request(format!("`retry` must be a whole number of milliseconds from 0 to {}", RETRY_MAX.as_millis()))
}

/// The members of an event, in each of its forms.
const NAMES: [&str; 7] = ["channel", "data", "type", "id", "retry", "idempotency_key", "idempotency_conflict"];

fn unknown_name(name: &str) -> Problem {
    parameters::unknown(name, &NAMES)
}
