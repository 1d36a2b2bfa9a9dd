//! What is answered where, and who may ask for it.

mod channels;
mod console;
mod health;
mod publish;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use http::{HeaderName, Method, StatusCode, header};
use tidecast_axum::{Problem, Streams};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use crate::{
    access::{Wants, guard},
    admission::admit,
    app::App,
    refused::read_the_rest,
};

/// Every route of the hub.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let guarded =
        |wants, route: MethodRouter<Arc<App>>| route.layer(from_fn_with_state((app.access.clone(), wants), guard));
    let to_read = |route| guarded(Wants::Read, route);
    let to_look = |route| guarded(Wants::Look, route);
    let to_change = |route| guarded(Wants::Change, route);

    let streams = Streams::new(app.hub.clone()).options(app.config.streams.clone());
    let admitted = streams.into_method_router().layer(from_fn_with_state(app.admission.clone(), admit));
    let channel = to_look(get(channels::show)).merge(to_change(axum::routing::delete(channels::forget)));

    // With a fallback of its own, as the router's would stand outside of the layers: a page could not read its 405.
    let publish = post(publish::publish).fallback(method_not_allowed);

    console::routes()
        .fold(Router::new(), |router, (path, route)| router.route(path, to_read(route)))
        .route("/stream", for_pages_of_others(app, to_read(admitted)))
        .route("/publish", for_pages_of_others(app, to_change(publish)))
        .route("/channels", to_look(get(channels::list)))
        .route("/channels/{name}", channel)
        .route("/channels/{name}/events", to_look(get(channels::events)))
        .route("/metrics", to_look(get(health::metrics)))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback_service(to_read(any(not_found)).with_state(app.clone()))
        .with_state(app.clone())
        .layer(from_fn_with_state(app.config.body_timeout, read_the_rest))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the hub made a mistake; its log says more").into_response()
        }))
}

/// Lets pages of the allowed origins use a route, if there are any.
fn for_pages_of_others(app: &App, route: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    let origins = &app.config.access.cors_origins;
    if origins.is_empty() {
        return route;
    }
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.clone()))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ]);
    // With a fallback of its own: the router's takes the place of a default one together with its layer, and then nobody
    // would answer a browser's question whether it may.
    route.fallback(method_not_allowed).layer(cors)
}

async fn not_found(request: Request) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at `{}`", request.uri().path()))
}

async fn method_not_allowed(method: Method) -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not taken here")).into_response()
}
