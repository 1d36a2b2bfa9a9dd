//! Lets pages of the origins in `cors_origin` use some routes.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::{AccessConfig, Config};

/// The request headers on which the CORS headers depend.
const VARY: HeaderValue = HeaderValue::from_static("origin, access-control-request-headers");

/// The CORS rules, by the configuration that each request has taken.
#[derive(Debug, Clone)]
pub(crate) struct Cors(CorsLayer);

impl Cors {
    pub(crate) fn new() -> Self {
        let is_allowed = |origin: &HeaderValue, request: &Parts| {
            let config = request.extensions.get::<Arc<Config>>();
            config.is_some_and(|config| config.access.cors_origins.contains(origin))
        };
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(is_allowed))
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            // Tracing and libraries add headers of their own, so all are allowed. They are no longer than a request's head.
            .allow_headers(AllowHeaders::mirror_request());
        Self(layer)
    }

    /// Runs a handler, with the CORS headers around it.
    pub(crate) async fn run<B, F>(
        &self,
        request: http::Request<B>,
        handler: impl FnMut(http::Request<B>) -> F,
    ) -> Response
    where
        F: Future<Output = Result<Response, Infallible>>,
    {
        let Ok(response) = self.0.layer(service_fn(handler)).oneshot(request).await;
        response
    }
}

/// Returns the CORS headers of the response to a publish, the same that [`Cors`] adds. Its layer costs more than a publish.
pub(crate) fn page_headers(
    config: &AccessConfig,
    request: &HeaderMap,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let has_origins = !config.cors_origins.is_empty();
    let fixed = [(header::VARY, VARY), (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))];
    let origin = if has_origins { request.get(header::ORIGIN) } else { None };
    let allowed = origin.filter(|origin| config.cors_origins.contains(origin)).cloned();
    let allowed = allowed.map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
    has_origins.then_some(fixed).into_iter().flatten().chain(allowed)
}

/// Adds the CORS headers to a route, if an origin is allowed.
pub(crate) async fn allow_origins(
    State(cors): State<Cors>,
    Extension(config): Extension<Arc<Config>>,
    request: Request,
    next: Next,
) -> Response {
    if config.access.cors_origins.is_empty() {
        return next.run(request).await;
    }
    let run = |request| {
        let next = next.clone();
        async { Ok(next.run(request).await) }
    };
    cors.run(request, run).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[tokio::test]
    async fn a_publish_gets_the_headers_of_the_layer() {
        let mut config = Config::from_settings(&Settings::default()).unwrap();
        config.access.cors_origins = vec![HeaderValue::from_static("https://app.example")];
        let (cors, config) = (Cors::new(), Arc::new(config));
        for origin in [None, Some("https://app.example"), Some("https://other.example")] {
            let mut request = http::Request::builder().method(Method::POST).extension(config.clone());
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            let request = request.body(()).unwrap();
            let headers: Vec<_> = page_headers(&config.access, request.headers()).collect();
            let expected = cors.run(request, async |_| Ok(Response::default())).await;
            let expected = expected.headers().iter().map(|(name, value)| (name.clone(), value.clone()));
            assert_eq!(headers, expected.collect::<Vec<_>>());
        }
    }
}
