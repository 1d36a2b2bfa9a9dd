//! Where a client says that it was.

use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use tidecast::Start;

use crate::{Problem, query::StreamQuery};

/// From where a request wants to go on: an extractor for hand-written handlers.
///
/// The header `Last-Event-ID`; without it the query `last_event_id` (also `lastEventId`); without that `last=N`, the
/// newest N events of each channel; else live. With an id, `last=N` is for channels of which the id says nothing: those
/// that were added since. The header comes first because a browser that reconnects repeats the
/// address. An empty id counts as none. Whatever the id is, it is no error: what can't be resumed is told in the stream.
///
/// # Examples
///
/// ```
/// use axum::{extract::State, response::IntoResponse};
/// use tidecast::Hub;
/// use tidecast_axum::{Problem, ResumeFrom, Sse};
///
/// async fn news(State(hub): State<Hub>, ResumeFrom(start): ResumeFrom) -> Result<Sse, Problem> {
///     Ok(Sse::new(hub.subscribe(["news", "weather"], start)?))
/// }
/// # let _: axum::Router = axum::Router::new().route("/news", axum::routing::get(news)).with_state(Hub::new());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeFrom(pub Start);

impl<S: Sync> FromRequestParts<S> for ResumeFrom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = StreamQuery::parse_leniently(parts.uri.query().unwrap_or_default())?;
        Ok(Self(start(&parts.headers, &query)))
    }
}

pub(crate) fn start(headers: &HeaderMap, query: &StreamQuery) -> Start {
    let header = headers.get("last-event-id").map(http::HeaderValue::as_bytes);
    let id = header.filter(|id| !id.is_empty()).or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
    match (id, query.last) {
        (Some(id), None) => Start::After(id.to_vec()),
        // For channels of which the id says nothing.
        (Some(id), Some(last)) => Start::AfterOrLast(id.to_vec(), last),
        (None, Some(last)) => Start::Last(last),
        (None, None) => Start::Live,
    }
}
