//! The layer that reads the rest of a request's body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Extension, body::Body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tidecast_axum::internals::StreamHandoff;
use tidecast_serve::ConnectionInfo;

use crate::{config::Config, http::body::drain};

/// Reads what a handler left of the body, so that the client gets to read the response.
pub(crate) async fn drain_body(Extension(config): Extension<Arc<Config>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<ConnectionInfo>().cloned();
    let handoff = request.extensions().get::<StreamHandoff>().cloned();
    let mut rest = SharedBody::default();
    let request = request.map(|body| {
        *rest.0.lock() = Some(body);
        Body::new(rest.clone())
    });
    let response = next.run(request).await;
    // After a time-out there is no further wait for the client.
    if response.status() != StatusCode::REQUEST_TIMEOUT {
        // Another connection may take the place meanwhile, unless it is a stream's.
        let is_stream = handoff.as_ref().is_some_and(StreamHandoff::has_stream);
        if let Some(connection) = connection.filter(|_| !is_stream) {
            connection.activity.set_idle();
        }
        drain(&mut rest, config.body_timeout).await;
    }
    response
}

/// A body shared by a handler and the layer around it. They poll it one after the other, so the lock is never contended.
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
