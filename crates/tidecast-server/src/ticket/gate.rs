//! Where a stream is asked for its ticket, and which pages may read it then.
//!
//! Around the stream's route, so that who is refused takes no place. It decides when a stream is opened and never again:
//! a ticket's time says until when its bearer may come, not how long a stream lasts.
//!
//! No cookie opens a stream, only what the page itself has sent. So a page with a ticket may read the answer wherever the
//! page is from, and no origin need be known beforehand. A ticket is a secret: nothing here logs one, or answers with it.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tidecast_axum::{Problem, query};

use super::TicketKey;
use crate::{
    access::{bearer, is_key, refusal},
    config::{AccessConfig, PublishKey},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    tickets: TicketKey,
    publish_key: PublishKey,
    /// Origins whose pages may read answers without a ticket too.
    origins: Vec<HeaderValue>,
}

/// What was decided on a request.
#[derive(Debug)]
struct Decision {
    /// Whether it came with a ticket that is in order, be it for other channels.
    has_ticket: bool,
    result: Result<(), Problem>,
}

impl Gate {
    /// The gate of a hub that wants tickets; without a publish key there are none.
    pub(crate) fn new(config: &AccessConfig) -> Option<Arc<Self>> {
        let publish_key = config.publish_key.clone().filter(|_| config.tickets)?;
        let tickets = TicketKey::derive(publish_key.as_bytes());
        Some(Arc::new(Self { tickets, publish_key, origins: config.cors_origins.clone() }))
    }

    fn decide(&self, uri: &Uri, headers: &HeaderMap, now: SystemTime) -> Decision {
        let without = |result| Decision { has_ticket: false, result };
        let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer);
        if authorization.is_some_and(|given| is_key(&self.publish_key, given)) {
            return without(Ok(()));
        }
        let query = uri.query().unwrap_or_default();
        let given = match presented(query, authorization) {
            Ok(given) => given,
            Err(problem) => return without(Err(problem)),
        };
        let ticket = match self.tickets.open(&given, now) {
            Ok(ticket) => ticket,
            Err(why) => return without(Err(Problem::new(StatusCode::UNAUTHORIZED, why.to_string()))),
        };
        let result =
            query::channels(query).and_then(|channels| match channels.iter().find(|channel| !ticket.opens(channel)) {
                None => Ok(()),
                Some(channel) => Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    format!(
                        "the ticket is not for `{channel}`: every channel that is asked for must be in its `subscribe`"
                    ),
                )),
            });
        Decision { has_ticket: true, result }
    }

    /// Lets a page read an answer.
    fn open_to(&self, origin: Option<HeaderValue>, has_ticket: bool, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| has_ticket || self.origins.contains(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// The ticket of a request: in its address, where a browser can put one, else in the header. What else stands in the
/// header beside one in the address may be for a proxy.
fn presented<'a>(query: &'a str, authorization: Option<&'a [u8]>) -> Result<Cow<'a, [u8]>, Problem> {
    let mut given = query::values(query.as_bytes(), "ticket")?;
    match (given.pop(), authorization) {
        (Some(_), _) if !given.is_empty() => Err(Problem::bad_request(
            "`ticket` is there more than once: one ticket names all channels in its `subscribe`",
        )),
        (Some(ticket), _) => Ok(ticket),
        (None, Some(ticket)) => Ok(ticket.into()),
        (None, None) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this hub gives a stream for a ticket only: send it as `?ticket=TICKET` or as `Authorization: Bearer TICKET`; \
             whoever has the publish key signs tickets (`tidecast ticket` does), or sends the key as `Authorization: Bearer \
             KEY`",
        )),
    }
}

/// The layer that asks [`Gate`].
pub(crate) async fn ask(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let decision = match *request.method() {
        Method::OPTIONS => return preflight(origin),
        Method::GET | Method::HEAD => gate.decide(request.uri(), request.headers(), SystemTime::now()),
        // Nothing is given for it.
        _ => Decision { has_ticket: false, result: Ok(()) },
    };
    let mut response = match decision.result {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            tracing::debug!(status = problem.status().as_u16(), why = problem.detail(), "a stream was refused");
            refusal(problem)
        }
    };
    gate.open_to(origin, decision.has_ticket, response.headers_mut());
    response
}

/// The answer to a browser that asks what a page may ask. It comes without the page's headers, so perhaps without the
/// ticket; the request that follows it is looked at.
fn preflight(origin: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let lines = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Last-Event-ID, Authorization, Cache-Control"),
        // In seconds: two hours, the most that Chromium takes.
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        (header::VARY, "origin"),
    ];
    headers.extend(lines.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}
