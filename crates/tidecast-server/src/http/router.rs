//! What is answered where, and who may ask for it.
//!
//! All but publishing is routed by axum. A layer of its router costs an allocation or two, and routing through all of
//! them more than publishing an event, so `POST /publish` is answered beside it, by functions.

use std::{
    convert::Infallible,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use axum::{
    BoxError, Router,
    body::Body,
    extract::Request,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, delete, get, post},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tidecast_axum::{Problem, Streams};
use tidecast_serve::{ConnectionInfo, Handler};
use tower::ServiceExt;

use crate::{
    app::App,
    auth::{Permission, layer},
    http::{
        body_drain::drain_body,
        cors::{self, Cors},
        publish::answer as publish,
        routes::{channels, console, health},
    },
    observe::access_log::RequestLine,
    streams::admission::admit,
};

/// Every route of the hub.
#[derive(Debug)]
pub(crate) struct Routes {
    app: Arc<App>,
    router: Router,
    cors: Cors,
}

impl Routes {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        let cors = Cors::new(app.settings.clone());
        Self { app: app.clone(), router: router(app, &cors), cors }
    }

    /// Answers a client's request. One whose handler panics is answered too.
    pub(crate) async fn answer<B>(
        &self,
        connection: ConnectionInfo,
        request: Request<B>,
    ) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let line = RequestLine::begin(connection.origin, &request);
        let mut answer = pin!(self.route(connection, request));
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

    async fn route<B>(&self, connection: ConnectionInfo, mut request: Request<B>) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        if request.method() == Method::POST && request.uri().path() == PUBLISH {
            if !self.cors.has_origins() {
                return Ok(publish::answer(&self.app, &connection, request).await);
            }
            let publish = async |request| Ok(publish::answer(&self.app, &connection, request).await);
            return Ok(self.cors.run(request, publish).await);
        }
        request.extensions_mut().insert(connection);
        let mut response = self.router.clone().oneshot(request).await?;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
        Ok(response)
    }
}

impl Handler for Routes {
    type Body = Body;

    async fn respond(&self, request: http::Request<Incoming>, connection: ConnectionInfo) -> Response {
        self.answer(connection, request).await.unwrap_or_else(|never| match never {})
    }
}

/// Every answer's `X-Content-Type-Options`: no browser takes what somebody published for a page or a script.
pub(crate) const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The `Cache-Control` of an answer that has none of its own: what it tells is true now.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Where events are published.
pub(crate) const PUBLISH: &str = "/publish";

fn router(app: &Arc<App>, cors: &Cors) -> Router {
    let auth = &app.auth;
    let require = |permission, route: MethodRouter<Arc<App>>| {
        route.layer(from_fn_with_state((auth.clone(), permission), layer::require))
    };
    let inspect = |route| require(Permission::Inspect, route);
    let publish = |route| require(Permission::Publish, route);
    let open = |route: MethodRouter<Arc<App>>| route.layer(from_fn_with_state(auth.clone(), layer::require_host));

    let streams = Streams::new(app.hub.clone()).options(app.config.streams.clone());
    let streams = streams
        .into_method_router()
        .layer(from_fn_with_state(app.admission.clone(), admit))
        .layer(from_fn_with_state((auth.clone(), cors.clone()), layer::require_stream));
    let channel =
        inspect(get(channels::show)).merge(publish(delete(channels::forget))).fallback(channels::wrong_method);

    // `Routes::route` answers a POST itself, so this answers the other methods with a 405. The fallback is within the
    // layers, unlike the router's, so that a page can read its response.
    let other_methods = publish(post(method_not_allowed).fallback(method_not_allowed))
        .fallback(method_not_allowed)
        .layer(from_fn_with_state(cors.clone(), cors::allow_origins));

    console::routes()
        .fold(Router::new(), |router, (path, route)| router.route(path, open(route)))
        .route("/stream", streams)
        .route(PUBLISH, other_methods)
        .route("/channels", inspect(get(channels::list)))
        .route("/channels/{*name}", channel)
        .route("/metrics", inspect(get(health::metrics)))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback_service(open(any(not_found)).with_state(app.clone()))
        .with_state(app.clone())
        .layer(from_fn_with_state(app.settings.clone(), drain_body))
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

#[cfg(test)]
mod tests {
    use tidecast_serve::ConnectionOrigin;

    use super::*;
    use crate::config::{Config, Secret, Settings};

    /// Settings that may change while the hub runs are read by each request, and not copied at the start.
    #[tokio::test]
    async fn a_request_follows_the_configuration_in_force() {
        let settings = Settings::default();
        let config = Config::from_settings(&settings).unwrap();
        let address = "127.0.0.1:8000".parse().unwrap();
        let connection = ConnectionInfo::new(ConnectionOrigin::plain(address, address), Arc::default());
        let app = App::new(config.clone(), address, Arc::default()).unwrap();
        let routes = Routes::new(&app);
        let ask = async |method: &str, target: &str| {
            let request = http::Request::builder()
                .method(method)
                .uri(target)
                .header("host", "localhost")
                .header("origin", "http://localhost")
                .header("content-type", "text/plain")
                .body(Body::from("x"))
                .unwrap();
            routes.answer(connection.clone(), request).await.unwrap()
        };
        let allowed = |response: &Response| response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);

        let [published, stream] = [ask("POST", "/publish").await, ask("GET", "/stream").await];
        assert_eq!([published.status(), stream.status()], [StatusCode::OK; 2]);
        assert!(!allowed(&published) && !allowed(&stream));

        let mut changed = config.clone();
        changed.access.cors_origins = vec![HeaderValue::from_static("http://localhost")];
        app.settings.replace(changed.clone());
        let [published, stream] = [ask("POST", "/publish").await, ask("GET", "/stream").await];
        assert!(allowed(&published) && allowed(&stream));
        assert!(allowed(&ask("GET", "/publish").await));

        changed.access.publish_key = Some(Secret::new("key"));
        app.settings.replace(changed);
        let statuses = [ask("POST", "/publish").await.status(), ask("GET", "/channels").await.status()];
        assert_eq!(statuses, [StatusCode::UNAUTHORIZED; 2]);

        app.settings.replace(Config { streams_max: 0, ..config });
        assert_eq!(ask("POST", "/publish").await.status(), StatusCode::OK);
        let refused = |rejections: &str| rejections.contains("streams_refused_total{reason=\"full\"} 1");
        drop(ask("GET", "/stream").await);
        let metrics = ask("GET", "/metrics").await;
        let text = axum::body::to_bytes(metrics.into_body(), usize::MAX).await.unwrap();
        assert!(refused(str::from_utf8(&text).unwrap()));
    }
}
