//! Extracts the position from which a client wants to resume.

use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use tidecast::Start;

use crate::{Problem, query::StreamQuery};

/// An extractor for the position from which a request wants to resume, for handlers of your own.
///
/// The first of these that the request has counts:
///
/// 1. the header `Last-Event-ID`. It precedes the query because a browser that reconnects repeats the address.
/// 2. the parameter `last_event_id`, or `lastEventId`.
/// 3. the parameter `last=N`: the newest N events of each channel. Beside an id, it is for the channels that the id does
///    not cover, because they were added since.
/// 4. none: events from now on.
///
/// An empty id counts as none. No id is an error: if the hub cannot resume from it, the stream says so.
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
        Ok(Self::new(&parts.headers, &query))
    }
}

impl ResumeFrom {
    pub(crate) fn new(headers: &HeaderMap, query: &StreamQuery) -> Self {
        let header = headers.get("last-event-id").map(http::HeaderValue::as_bytes);
        let id = header.filter(|id| !id.is_empty()).or(query.last_event_id.as_deref()).filter(|id| !id.is_empty());
        Self(match (id, query.last) {
            (Some(id), None) => Start::After(id.to_vec()),
            (Some(id), Some(last)) => Start::AfterOrLast(id.to_vec(), last),
            (None, Some(last)) => Start::Last(last),
            (None, None) => Start::Live,
        })
    }
}
