//! Publishing by names and values: a form, or text with parameters in the address.

use std::borrow::Cow;

use tidecast::Event;
use tidecast_axum::{Problem, internals::query};

use super::{Fields, PublishItem, retry_problem, unknown_name};

/// Reads a form, such as `curl -d data=hello -d channel=news` sends.
pub(super) fn read_form(body: &[u8]) -> Result<PublishItem, Problem> {
    let (fields, data) = read(body)?;
    let data = data.ok_or_else(|| Problem::bad_request("`data` is missing"))?;
    fields.publication(Event::text(data))
}

/// Reads text: the body is the data, and the address has the rest.
pub(super) fn read_text(query: &str, body: &str) -> Result<PublishItem, Problem> {
    let (fields, data) = read(query.as_bytes())?;
    if data.is_some() {
        return Err(Problem::bad_request(
            "with text/plain the body is the data; `data` in the address is one too many",
        ));
    }
    fields.publication(Event::text(body))
}

fn read(pairs: &[u8]) -> Result<(Fields<'static>, Option<Cow<'static, str>>), Problem> {
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
            return Err(Problem::bad_request(format!("`{name}` is given more than once")));
        }
    }
    let retry = retry.filter(|retry| !retry.is_empty());
    let parse = |retry: Cow<'_, str>| retry.parse().ok().filter(|_| !retry.starts_with('+')).ok_or_else(retry_problem);
    fields.retry_ms = retry.map(parse).transpose()?;
    Ok((fields, data))
}
