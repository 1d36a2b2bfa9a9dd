//! What is answered where, and who may ask for it.
//!
//! All but publishing is routed by axum. A layer of its router costs an allocation or two, and routing through all of
//! them more than publishing an event, so `POST /publish` is answered beside it, by functions.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use axum::{
    BoxError, Router,
    extract::{ConnectInfo, Request},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, delete, get, post},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use tidecast_axum::{Problem, Streams};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::{
    app::App,
    auth::{
        access::{Permission, guard},
        ticket_layer::{self, TicketLayer},
    },
    http::{
        body_drain::drain_body,
        publish::answer as publish,
        routes::{channels, console, health},
    },
    observe::access_log::RequestLine,
    places::Control,
    streams::admission::admit,
};

/// Every route of the hub.
#[derive(Debug)]
pub(crate) struct Routes {
    app: Arc<App>,
    router: Router,
    /// Lets pages of the allowed origins publish, if there are any.
    cors: Option<CorsLayer>,
}

impl Routes {
    pub(crate) fn new(app: &Arc<App>) -> Arc<Self> {
        let cors = cors(app);
        Arc::new(Self { app: app.clone(), router: router(app, cors.as_ref()), cors })
    }

    /// Answers a client's request. One whose handler panics is answered too.
    pub(crate) async fn answer<B>(
        self: Arc<Self>,
        peer: SocketAddr,
        control: Arc<Control>,
        request: Request<B>,
    ) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let line = RequestLine::begin(peer, &request);
        let mut answer = pin!(self.route(peer, control, request));
        let answered = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
            Ok(answer) => answer,
            Err(_) => {
                let why = "the hub made a mistake; its log says more";
                Poll::Ready(Ok(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response()))
            }
        })
        .await;
        if let (Some(line), Ok(response)) = (line, &answered) {
            line.end(response);
        }
        answered
    }

    async fn route<B>(
        &self,
        peer: SocketAddr,
        control: Arc<Control>,
        mut request: Request<B>,
    ) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        if request.method() == Method::POST && request.uri().path() == PUBLISH {
            return match &self.cors {
                None => Ok(publish::answer(&self.app, peer, &control, request).await),
                Some(cors) => {
                    let publish =
                        service_fn(async |request| Ok(publish::answer(&self.app, peer, &control, request).await));
                    cors.layer(publish).oneshot(request).await
                }
            };
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(control);
        let mut response = self.router.clone().oneshot(request).await?;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
        Ok(response)
    }
}

/// Every answer's `X-Content-Type-Options`: no browser takes what somebody published for a page or a script.
pub(crate) const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The `Cache-Control` of an answer that has none of its own: what it tells is true now.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Where events are published.
pub(crate) const PUBLISH: &str = "/publish";

fn router(app: &Arc<App>, cors: Option<&CorsLayer>) -> Router {
    let guarded = |permission, route: MethodRouter<Arc<App>>| {
        route.layer(from_fn_with_state((app.access.clone(), permission), guard))
    };
    let to_read = |route| guarded(Permission::Subscribe, route);
    let to_look = |route| guarded(Permission::Inspect, route);
    let to_change = |route| guarded(Permission::Publish, route);

    let streams = Streams::new(app.hub.clone()).options(app.config.streams.clone());
    let admitted = streams.into_method_router().layer(from_fn_with_state(app.admission.clone(), admit));
    let gate = TicketLayer::new(&app.config.access, app.access.clone());
    // A gate that asks for tickets says itself what pages may read.
    let cors_of_streams = cors.filter(|_| !gate.asks());
    let streams = for_pages_of_others(cors_of_streams, admitted.layer(from_fn_with_state(gate, ticket_layer::ask)));
    let channel =
        to_look(get(channels::show)).merge(to_change(delete(channels::forget))).fallback(channels::wrong_method);

    // What is posted does not come here: this is for the other methods, which are told that it is what they may do.
    // With a fallback of its own, as the router's would stand outside of the layers: a page could not read its 405.
    let publish = post(method_not_allowed).fallback(method_not_allowed);

    console::routes()
        .fold(Router::new(), |router, (path, route)| router.route(path, to_read(route)))
        .route("/stream", streams)
        .route(PUBLISH, for_pages_of_others(cors, to_change(publish)))
        .route("/channels", to_look(get(channels::list)))
        .route("/channels/{*name}", channel)
        .route("/metrics", to_look(get(health::metrics)))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback_service(to_read(any(not_found)).with_state(app.clone()))
        .with_state(app.clone())
        .layer(from_fn_with_state(app.config.body_timeout, drain_body))
}

/// What lets pages of the allowed origins use a route, if there are any.
fn cors(app: &App) -> Option<CorsLayer> {
    let origins = &app.config.access.cors_origins;
    let layer = || {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.clone()))
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            // Whatever the page asks for: tracing and libraries add headers of theirs. It is no longer than a request's head.
            .allow_headers(AllowHeaders::mirror_request())
    };
    (!origins.is_empty()).then(layer)
}

fn for_pages_of_others(cors: Option<&CorsLayer>, route: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    let Some(cors) = cors else { return route };
    // With a fallback of its own: the router's takes the place of a default one together with its layer, and then nobody
    // would answer a browser's question whether it may.
    route.fallback(method_not_allowed).layer(cors.clone())
}

/// Returns JSON as an answer, with the newline that each ends with.
pub(crate) fn json_line(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

async fn not_found(request: Request) -> Problem {
    let path = request.uri().path();
    let remedy = match path.split('/').nth(1) {
        Some("events" | "event" | "stream" | "streams" | "sse" | "subscribe") => {
            "; a channel's stream is at `/stream?channel=NAME`"
        }
        Some("publish") => {
            "; events are published by a POST to `/publish`, which names the channel in its body or query"
        }
        _ => "",
    };
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at `{path}`{remedy}"))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let right = if uri.path() == PUBLISH { "POST" } else { "GET" };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not taken here: send a {right}")).into_response()
}
