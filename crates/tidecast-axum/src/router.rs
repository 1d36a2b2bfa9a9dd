//! The stream endpoint as a router, with a hook that authorizes requests.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use tidecast::{Channel, Hub};

use crate::{
    Problem, ResumeFrom, Sse, StreamOptions,
    handoff::StreamHandoff,
    options::{FULL_RETRY, jitter},
    query::StreamQuery,
    response::{head_response, retry_later},
};

/// Creates a router that serves a hub's streams at `/`, to every client, with the default options.
///
/// Nest it under a path, or `merge` it for `/`. A client names its channels by `?channel=`, once or more often; without
/// any it gets the channel `sse`. [`Streams`] creates a router with access control or other options.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use tidecast::Hub;
///
/// let hub = Hub::new();
/// let app: Router = Router::new().nest("/stream", tidecast_axum::router(hub.clone()));
/// ```
pub fn router<S: Clone + Send + Sync + 'static>(hub: Hub) -> Router<S> {
    Streams::new(hub).into_router()
}

/// The stream endpoint of a hub.
///
/// | request | response |
/// |---|---|
/// | `GET ?channel=a&channel=b` | the event stream of 1 to 64 channels; no name, or an empty one, is `sse` |
/// | also with `Last-Event-ID`, `?last_event_id=` or `?last=N` | the stream, resumed as [`ResumeFrom`] describes |
/// | also with `?open=1` | the stream, beginning with an event `stream-open` |
/// | `HEAD` | the head of the stream |
/// | any other method | 405 |
///
/// # Examples
///
/// Access control, as with Flask-SSE's `before_request`:
///
/// ```
/// use axum::{Router, http::StatusCode};
/// use tidecast::Hub;
/// use tidecast_axum::{StreamRequest, Streams};
///
/// async fn only_admins_see_analytics(request: StreamRequest) -> Result<(), StatusCode> {
///     let is_admin = request.parts.headers.get("x-role").is_some_and(|role| role == "admin");
///     if request.asks_for("analytics") && !is_admin { Err(StatusCode::FORBIDDEN) } else { Ok(()) }
/// }
///
/// let streams = Streams::new(Hub::new()).authorize(only_admins_see_analytics);
/// let app: Router = Router::new().nest("/stream", streams.into_router());
/// ```
#[derive(Clone)]
pub struct Streams {
    hub: Hub,
    options: StreamOptions,
    authorize: Option<Arc<Authorize>>,
}

type Authorize = dyn Fn(StreamRequest) -> Pin<Box<dyn Future<Output = Result<(), Response>> + Send>> + Send + Sync;

/// A request for a stream, as passed to the hook of [`Streams::authorize`].
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamRequest {
    /// The head of the request: its URI, its headers, and the extensions of earlier layers.
    pub parts: Parts,
    /// The requested channels, each once; at least one.
    pub channels: Vec<Channel>,
}

impl StreamRequest {
    /// Returns whether the request asks for the channel of this name.
    #[must_use]
    pub fn asks_for(&self, name: &str) -> bool {
        self.channels.iter().any(|channel| channel == name)
    }
}

impl Streams {
    /// Creates the endpoint for every client, with the default options.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self { hub, options: StreamOptions::default(), authorize: None }
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: StreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the hook that decides on each request, after it is parsed and before it subscribes. Its error is the response.
    ///
    /// An `EventSource` gives up for good on any status but 200, so use an error for what is final.
    #[must_use]
    pub fn authorize<F, R, E>(mut self, decide: F) -> Self
    where
        F: Fn(StreamRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: IntoResponse,
    {
        self.authorize = Some(Arc::new(move |request| {
            let decision = decide(request);
            Box::pin(async move { decision.await.map_err(IntoResponse::into_response) })
        }));
        self
    }

    /// Returns a router with the endpoint at `/`.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new().route("/", self.into_method_router())
    }

    /// Returns the endpoint as the method router of a path.
    pub fn into_method_router<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S> {
        get(serve).fallback(method_not_allowed).with_state(self)
    }

    async fn respond(&self, mut parts: Parts) -> Result<Response, Response> {
        let query = StreamQuery::parse(parts.uri.query().unwrap_or_default()).map_err(IntoResponse::into_response)?;
        let ResumeFrom(start) = ResumeFrom::new(&parts.headers, &query);
        let is_head = parts.method == Method::HEAD;
        let handoff = parts.extensions.remove::<StreamHandoff>();
        let channels = query.channels;
        let headers = match &self.authorize {
            None => parts.headers,
            Some(authorize) => {
                let headers = parts.headers.clone();
                authorize(StreamRequest { parts, channels: channels.clone() }).await?;
                headers
            }
        };
        if is_head {
            return Ok(head_response());
        }
        match self.hub.subscribe(channels, start) {
            Ok(subscription) => {
                let sse = Sse::new(subscription).options(self.options.clone());
                let sse = sse.open_event(query.open_event).for_request(&headers);
                Ok(sse.handoff(handoff).into_response())
            }
            Err(error) if error.is_full() => Ok(retry_later(jitter(&FULL_RETRY))),
            Err(error) if error.is_closed() => Ok(retry_later(jitter(&self.options.end_retry))),
            Err(error) => Err(Problem::from(error).into_response()),
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("hub", &self.hub).field("options", &self.options).finish_non_exhaustive()
    }
}

async fn serve(State(streams): State<Streams>, request: Request) -> Response {
    streams.respond(request.into_parts().0).await.unwrap_or_else(|refused| refused)
}

async fn method_not_allowed(method: Method) -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here; use GET"));
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    response
}
