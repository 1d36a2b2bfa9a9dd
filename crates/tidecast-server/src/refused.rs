//! The rest of a body that was refused.
//!
//! Whoever answers without having read a body would have its connection reset under the client that still sends, and
//! the client would not get to see the answer. So the rest is read first, up to a bound.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::bounds::REFUSED_BODY_BYTES_MAX;

/// The layer that reads what a handler left of a request's body.
pub(crate) async fn read_the_rest(State(patience): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let mut rest = SharedBody::default();
    let request = request.map(|body| {
        *rest.0.lock() = Some(body);
        Body::new(rest.clone())
    });
    let response = next.run(request).await;
    // Whoever was waited for in vain is not waited for again.
    let waits = response.status() != StatusCode::REQUEST_TIMEOUT;
    if waits && !rest.is_end_stream() {
        let reading = async {
            let mut bounded = Limited::new(&mut rest, REFUSED_BODY_BYTES_MAX);
            while let Some(Ok(_)) = bounded.frame().await {}
        };
        // Who sends too slowly or too much does not see the answer; there is no more that can be done for them.
        let _ = timeout(patience, reading).await;
    }
    response
}

/// A body that two hold: the handler, and the layer around it. The lock is held for one poll, by one of them at a time.
#[derive(Clone, Default)]
struct SharedBody(Arc<Mutex<Option<Body>>>);

impl http_body::Body for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock();
        let Some(inner) = body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            *body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}
