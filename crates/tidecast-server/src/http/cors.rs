//! Lets pages of the origins in `cors_origin` use some routes.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::ConfigHandle;

/// The CORS rules, by the configuration in force.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    config: Arc<ConfigHandle>,
    layer: CorsLayer,
}

impl Cors {
    pub(crate) fn new(config: Arc<ConfigHandle>) -> Self {
        let rules = config.clone();
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| rules.read().access.cors_origins.contains(origin)))
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            // Tracing and libraries add headers of their own, so all are allowed. They are no longer than a request's head.
            .allow_headers(AllowHeaders::mirror_request());
        Self { config, layer }
    }

    /// Returns whether an origin is allowed. If none is, responses carry no CORS headers.
    pub(crate) fn has_origins(&self) -> bool {
        !self.config.read().access.cors_origins.is_empty()
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
        let Ok(response) = self.layer.layer(service_fn(handler)).oneshot(request).await;
        response
    }
}

/// Adds the CORS headers to a route.
pub(crate) async fn allow_origins(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    if !cors.has_origins() {
        return next.run(request).await;
    }
    let run = |request| {
        let next = next.clone();
        async { Ok(next.run(request).await) }
    };
    cors.run(request, run).await
}
