//! The layers that ask [`Auth`] before a route runs, and the headers that let pages read the responses of streams.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tidecast_serve::ConnectionInfo;

use super::{
    decision::{Auth, Permission, StreamDecision},
    refusal::Refusal,
};
use crate::{
    config::{Anonymous, Config},
    http::cors::Cors,
};

/// Runs a route for requests that have a permission.
pub(crate) async fn require(
    State((auth, permission)): State<(Arc<Auth>, Permission)>,
    Extension(config): Extension<Arc<Config>>,
    connection: Extension<ConnectionInfo>,
    request: Request,
    next: Next,
) -> Response {
    let outcome = auth.check(&config.access, permission, request.headers());
    run(&auth, outcome, connection, request, next).await
}

/// Runs a route that every client may use, for requests that name one of the hub's hosts.
pub(crate) async fn require_host(
    State(auth): State<Arc<Auth>>,
    Extension(config): Extension<Arc<Config>>,
    connection: Extension<ConnectionInfo>,
    request: Request,
    next: Next,
) -> Response {
    let outcome = auth.check_host(&config.access, request.headers());
    run(&auth, outcome, connection, request, next).await
}

/// Runs the stream route for requests with the rights to their channels. It surrounds admission, so that a refused request
/// takes no place.
///
/// If tickets are in use they decide which pages may read the response, else `cors_origin` does.
pub(crate) async fn require_stream(
    State((auth, cors)): State<(Arc<Auth>, Cors)>,
    Extension(config): Extension<Arc<Config>>,
    connection: Extension<ConnectionInfo>,
    request: Request,
    next: Next,
) -> Response {
    if uses_tickets(&config) || config.access.cors_origins.is_empty() {
        return check_stream(&auth, &config, connection, request, next).await;
    }
    let check = |request| {
        let check = check_stream(&auth, &config, connection.clone(), request, next.clone());
        async { Ok(check.await) }
    };
    cors.run(request, check).await
}

/// Returns whether some channels need a ticket.
fn uses_tickets(config: &Config) -> bool {
    !matches!(config.access.anonymous, Anonymous::All)
}

async fn check_stream(
    auth: &Auth,
    config: &Config,
    connection: Extension<ConnectionInfo>,
    request: Request,
    next: Next,
) -> Response {
    let (config, uses_tickets) = (&config.access, uses_tickets(config));
    let origin = request.headers().get(header::ORIGIN).cloned().filter(|_| uses_tickets);
    let decision = match *request.method() {
        Method::OPTIONS if uses_tickets => return preflight(request.headers(), origin),
        Method::GET | Method::HEAD => {
            auth.check_stream(config, request.uri().query().unwrap_or_default(), request.headers())
        }
        // The route answers other methods with a 405.
        _ => StreamDecision { ticket: None, outcome: auth.check_host(config, request.headers()) },
    };
    let is_from_page = decision.has_ticket_of_page();
    let mut response = run(auth, decision.outcome, connection, request, next).await;
    if uses_tickets {
        let readable = |origin: &HeaderValue| is_from_page || config.cors_origins.contains(origin);
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(readable) {
            allow(origin, headers);
        }
    }
    response
}

async fn run(
    auth: &Auth,
    outcome: Result<(), Refusal>,
    Extension(connection): Extension<ConnectionInfo>,
    request: Request,
    next: Next,
) -> Response {
    match outcome {
        Ok(()) => next.run(request).await,
        Err(refusal) => auth.refusals.respond(&connection.origin, refusal).await,
    }
}

/// Responds to a browser's preflight request. It has no headers of the page's, so perhaps no ticket either: the request
/// that follows is checked. Every header that the page asks for is allowed.
fn preflight(requested: &HeaderMap, origin: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let lines = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        // Two hours, in seconds: the maximum of Chromium.
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        (header::VARY, "origin, access-control-request-headers"),
    ];
    headers.extend(lines.map(|(name, value)| (name, HeaderValue::from_static(value))));
    let wanted = requested.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.extend(wanted.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
    if let Some(origin) = origin {
        allow(origin, headers);
    }
    response
}

/// Lets pages of an origin read a response.
fn allow(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
}
