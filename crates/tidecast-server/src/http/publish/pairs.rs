//! Parses names and values: a form, or the query beside a text.

use std::borrow::Cow;

use tidecast::Event;
use tidecast_axum::{Problem, internals::query};

use super::item::{Fields, PublishItem, invalid_retry, missing_data, repeated_name, unknown_name};

/// Parses a form, such as `curl -d data=hello -d channel=news` sends.
pub(super) fn parse_form(body: &[u8]) -> Result<PublishItem, Problem> {
    let (fields, data) = parse(body)?;
    let data = data.ok_or_else(missing_data)?;
    fields.into_item(Event::text(data))
}

/// Parses text: the body is the data, and the query has the other members.
pub(super) fn parse_text(query: &str, body: &str) -> Result<PublishItem, Problem> {
    let (fields, data) = parse(query.as_bytes())?;
    if data.is_some() {
        return Err(Problem::bad_request("with text/plain the body is the data: remove `data` from the address"));
    }
    fields.into_item(Event::text(body))
}

fn parse(pairs: &[u8]) -> Result<(Fields<'static>, Option<Cow<'static, str>>), Problem> {
    let mut fields = Fields::default();
    let mut data = None;
    let mut retry = None;
    for (name, value) in query::pairs(pairs)? {
        let field = match name.as_str() {
            "channel" => &mut fields.channel,
            "data" => &mut data,
            "type" => &mut fields.event_type,
            "id" => &mut fields.id,
            "retry" => &mut retry,
            "idempotency_key" => &mut fields.idempotency_key,
            "idempotency_conflict" => &mut fields.idempotency_conflict,
            _ => return Err(unknown_name(&name)),
        };
        if field.replace(Cow::Owned(value)).is_some() {
            return Err(repeated_name(&name));
        }
    }
    let retry = retry.filter(|retry| !retry.is_empty());
    let parse = |retry: Cow<'_, str>| {
        retry.parse().ok().filter(|_| !retry.starts_with('+')).ok_or_else(|| invalid_retry(&retry))
    };
    fields.retry_ms = retry.map(parse).transpose()?;
    Ok((fields, data))
}
