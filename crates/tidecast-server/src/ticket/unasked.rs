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

/// Whether it was said.
pub(crate) type Said = Arc<AtomicBool>;

/// The layer that says so, once: every stream of such an application comes with one.
pub(crate) async fn tell(State(said): State<Said>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if query.split('&').any(|pair| pair.starts_with("ticket=")) && !said.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "a stream was asked for with a ticket, and this hub looks at none: without one anybody reads every channel; \
             start it with --tickets"
        );
    }
    next.run(request).await
}
