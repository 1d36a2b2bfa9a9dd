//! Tickets at a hub that wants none: who signs them counts on their being looked at, and is told that they are not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Uri;
use tidecast_axum::query;

/// Whether it was said.
pub(crate) type Said = Arc<AtomicBool>;

/// The layer that says so, once: every stream of such an application comes with one.
pub(crate) async fn tell(State(said): State<Said>, request: Request, next: Next) -> Response {
    if !said.load(Ordering::Relaxed) && has_ticket(request.uri()) && !said.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "a stream was asked for with a ticket, and this hub looks at none: without one anybody reads every channel; \
             start it with --tickets"
        );
    }
    next.run(request).await
}

fn has_ticket(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query::values(query.as_bytes(), "ticket").is_ok_and(|given| !given.is_empty())
}
