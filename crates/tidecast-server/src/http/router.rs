//! The routes, and the permission that each needs.
//!
//! axum routes every request except `POST /publish`. Each layer of its router costs an allocation or two, and all of them
//! together more than publishing an event, so publishing bypasses it.

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
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, delete, get, post},
};
use bytes::Bytes;
use http::{Method, StatusCode, header};
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
        publish::{self, handler},
        response::{NO_SNIFF, NO_STORE, method_not_allowed},
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
}

impl Routes {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self { app: app.clone(), router: router(app) }
    }

    /// Responds to a request, also if its handler panics.
    pub(crate) async fn answer<B>(
        &self,
        connection: ConnectionInfo,
        request: Request<B>,
    ) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let line = RequestLine::begin(connection.origin, &request);
        let mut response = pin!(self.route(connection, request));
        let response = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(_) => {
                let why = "the hub failed on this request; its log has the cause";
                Poll::Ready(Ok(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response()))
            }
        })
        .await;
        if let (Some(line), Ok(response)) = (line, &response) {
            line.end(response);
        }
        response
    }

    async fn route<B>(&self, connection: ConnectionInfo, mut request: Request<B>) -> Result<Response, Infallible>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        if request.method() == Method::POST && request.uri().path() == publish::PATH {
            return Ok(handler::handle(&self.app, &connection, request).await);
        }
        request.extensions_mut().insert(connection);
        request.extensions_mut().insert(self.app.config.snapshot());
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

fn router(app: &Arc<App>) -> Router {
    let (auth, cors) = (&app.auth, Cors::new());
    let require = |permission, route: MethodRouter<Arc<App>>| {
        route.layer(from_fn_with_state((auth.clone(), permission), layer::require))
    };
    let inspect = |route| require(Permission::Inspect, route);
    let change = |route| require(Permission::Publish, route);
    let open = |route: MethodRouter<Arc<App>>| route.layer(from_fn_with_state(auth.clone(), layer::require_host));

    let streams = Streams::new(app.hub.clone()).options(app.config.snapshot().streams.clone());
    let streams = streams
        .into_method_router()
        .layer(from_fn_with_state(app.admission.clone(), admit))
        .layer(from_fn_with_state((auth.clone(), cors.clone()), layer::require_stream));
    let channel = inspect(get(channels::show)).merge(change(delete(channels::delete))).fallback(channels::wrong_method);

    // `Routes::route` answers a POST itself, so this answers the other methods with a 405. The fallback is within the
    // layers, unlike the router's, so that these methods need the key too, and a page can read the response.
    let other_methods =
        change(post(only_post).fallback(only_post)).layer(from_fn_with_state(cors, cors::allow_origins));

    console::routes()
        .fold(Router::new(), |router, (path, route)| router.route(path, open(route)))
        .route("/stream", streams)
        .route(publish::PATH, other_methods)
        .route("/channels", inspect(get(channels::list)))
        .route("/channels/{*name}", channel)
        .route("/metrics", inspect(get(health::metrics)))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(only_get)
        .fallback_service(open(any(not_found)).with_state(app.clone()))
        .with_state(app.clone())
        .layer(from_fn(drain_body))
}

async fn not_found(request: Request) -> Problem {
    let path = request.uri().path();
    let remedy = match path.split('/').nth(1) {
        Some("events" | "event" | "stream" | "streams" | "sse" | "subscribe") => {
            "; the stream of a channel is at `/stream?channel=NAME`"
        }
        Some("publish") => "; publish events by a POST to `/publish`, with the channel in its body or query",
        _ => "",
    };
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at `{path}`{remedy}"))
}

async fn only_get(method: Method) -> Response {
    method_not_allowed(&method, "GET")
}

async fn only_post(method: Method) -> Response {
    method_not_allowed(&method, "POST")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
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
        app.config.replace(changed.clone());
        let [published, stream] = [ask("POST", "/publish").await, ask("GET", "/stream").await];
        assert!(allowed(&published) && allowed(&stream));
        assert!(allowed(&ask("GET", "/publish").await));

        changed.access.publish_key = Some(Secret::new("key"));
        app.config.replace(changed);
        let statuses = [ask("POST", "/publish").await.status(), ask("GET", "/channels").await.status()];
        assert_eq!(statuses, [StatusCode::UNAUTHORIZED; 2]);

        app.config.replace(Config { streams_max: 0, ..config });
        assert_eq!(ask("POST", "/publish").await.status(), StatusCode::OK);
        let refused = |rejections: &str| rejections.contains("streams_refused_total{reason=\"full\"} 1");
        drop(ask("GET", "/stream").await);
        let metrics = ask("GET", "/metrics").await;
        let text = axum::body::to_bytes(metrics.into_body(), usize::MAX).await.unwrap();
        assert!(refused(str::from_utf8(&text).unwrap()));
    }
}
