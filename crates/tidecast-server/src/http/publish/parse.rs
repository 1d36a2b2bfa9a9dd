//! Parses requests to publish, in each of their forms.
//!
//! Parsing is strict: an unknown name is an error, because it is most likely misspelt.

use http::{HeaderMap, HeaderName, StatusCode, header};
use mime::Mime;
use tidecast::{Hub, IdempotencyKey};
use tidecast_axum::Problem;

use super::{
    item::{PublishItem, PublishRequest},
    json, pairs,
};
use crate::http::body::BYTE_ORDER_MARK;

/// The form of a body.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Pairs,
    Text,
}

/// The header with the idempotency key, under its name and the one that some clients use. Constants, so that a look-up does
/// not parse the names.
static IDEMPOTENCY_KEY: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];

/// The labels of UTF-8 in the WHATWG Encoding standard.
const UTF_8_LABELS: [&str; 6] =
    ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];

/// Parses a request. The events of an array are checked against the hub's limits, so that all are published or none; a
/// single event is checked when it is published.
///
/// # Errors
///
/// A problem of status 4xx; for an array, with the index of the invalid event.
pub(crate) fn parse(hub: &Hub, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<PublishRequest, Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(unsupported("a compressed body is not accepted"));
    }
    // JSON and forms are parsed without the mark. Text is the data itself, and keeps it.
    let unmarked = body.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(body);
    let mut request = match form(headers)? {
        Form::Json => {
            refuse_query(query)?;
            json::parse(hub, utf8(unmarked)?)?
        }
        Form::Pairs => {
            refuse_query(query)?;
            if unmarked.trim_ascii_start().starts_with(b"{") {
                return Err(Problem::bad_request(
                    "this is JSON that was sent as a form: add the header `Content-Type: application/json` \
                     (with curl: -H 'Content-Type: application/json')",
                ));
            }
            PublishRequest::Single(pairs::parse_form(unmarked)?)
        }
        Form::Text => PublishRequest::Single(pairs::parse_text(query, utf8(body)?)?),
    };
    take_key_headers(headers, &mut request)?;
    Ok(request)
}

/// Adds the key of the header `Idempotency-Key` or `X-Idempotency-Key`, which is for a single event. If a request has several
/// keys, in headers or in the event, they must be equal.
fn take_key_headers(headers: &HeaderMap, request: &mut PublishRequest) -> Result<(), Problem> {
    for (name, shown) in IDEMPOTENCY_KEY.iter().zip(["Idempotency-Key", "X-Idempotency-Key"]) {
        for key in headers.get_all(name) {
            let PublishRequest::Single(PublishItem { publication, .. }) = &mut *request else {
                return Err(Problem::bad_request(format!(
                    "the header `{shown}` is for a single event; in an array, give each event an `idempotency_key`"
                )));
            };
            let key = std::str::from_utf8(key.as_bytes())
                .map_err(|_| Problem::bad_request(format!("the header `{shown}` is not UTF-8")))?;
            let key = IdempotencyKey::new(key)?;
            if publication.idempotency_key.as_ref().is_some_and(|other| *other != key) {
                return Err(Problem::bad_request(format!(
                    "the header `{shown}` differs from another idempotency key of the request (the member \
                     `idempotency_key` or another header)"
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
    // Most programs send one of these, and no parameters.
    match text.as_bytes() {
        b"application/json" => return Ok(Form::Json),
        b"application/x-www-form-urlencoded" => return Ok(Form::Pairs),
        b"text/plain" => return Ok(Form::Text),
        _ => {}
    }
    let media_type: Option<Mime> = text.to_str().ok().and_then(|text| text.parse().ok());
    let media_type = media_type.ok_or_else(|| {
        unsupported(&format!("the body's `Content-Type`, `{}`, is not a media type", text.as_bytes().escape_ascii()))
    })?;
    if let Some(charset) = media_type.get_param(mime::CHARSET)
        && !UTF_8_LABELS.iter().any(|label| charset.as_str().trim().eq_ignore_ascii_case(label))
    {
        return Err(unsupported(&format!("the charset is `{charset}`, and only UTF-8 is accepted")));
    }
    match media_type.essence_str() {
        "application/json" => Ok(Form::Json),
        "application/x-www-form-urlencoded" => Ok(Form::Pairs),
        "text/plain" => Ok(Form::Text),
        other => Err(unsupported(&format!("`{other}` is not accepted"))),
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
    Err(Problem::bad_request("parameters in the address are for text/plain only; put them into the body"))
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))
}
