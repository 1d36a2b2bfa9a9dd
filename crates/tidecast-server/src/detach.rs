//! Which streams may leave hyper, and what leaves with them.
//!
//! Decided here, around the router and all its layers: what a layer adds to a stream's body is left out once the stream
//! is detached. So a layer that rewrites a stream must say so by a header, as compression does by `Content-Encoding`.

use std::{any::Any, net::TcpStream};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use tidecast::Subscription;
use tidecast_axum::Handover;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::metrics;

/// A stream with its socket, as it left hyper.
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) socket: TcpStream,
    /// What is to be written first.
    pub(crate) unwritten: Bytes,
    pub(crate) subscription: Subscription,
    pub(crate) sent_at: Instant,
    /// `None` is never.
    pub(crate) ends_at: Option<Instant>,
    pub(crate) seat: Seat,
}

/// What a connection holds until it ends: its place among all, that it is counted, and the stream's place.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) _permit: OwnedSemaphorePermit,
    pub(crate) _counted: metrics::Connection,
    pub(crate) _kept: Option<Box<dyn Any + Send>>,
}

/// A cell for a request whose answer may be a stream that can be detached.
///
/// A client of HTTP/1.0 gets no chunks, and one that is still sending a body has it read by hyper.
pub(crate) fn offer<B: Body>(request: &Request<B>) -> Option<Handover> {
    let plain =
        request.method() == Method::GET && request.version() == Version::HTTP_11 && request.body().is_end_stream();
    plain.then(Handover::new)
}

/// Whether an answer is such a stream. If so it is the last on its connection, which its head then says.
pub(crate) fn accept<B>(handover: &Handover, response: &mut Response<B>) -> bool {
    let detachable = response.status() == StatusCode::OK && is_plain_stream(response.headers()) && handover.is_filled();
    if detachable {
        // Whatever the client has sent behind its request is not answered, and with this it knows.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    detachable
}

fn is_plain_stream(headers: &HeaderMap) -> bool {
    let stream = tidecast::wire::CONTENT_TYPE;
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value == stream)
        && [
            header::CONTENT_ENCODING,
            header::CONTENT_LENGTH,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ]
        .iter()
        .all(|name| !headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;

    #[test]
    fn only_a_plain_get_is_offered() {
        let request =
            |method, version| Request::builder().method(method).version(version).body(Empty::<Bytes>::new()).unwrap();
        assert!(offer(&request(Method::GET, Version::HTTP_11)).is_some());
        assert!(offer(&request(Method::HEAD, Version::HTTP_11)).is_none());
        assert!(offer(&request(Method::POST, Version::HTTP_11)).is_none());
        assert!(offer(&request(Method::GET, Version::HTTP_10)).is_none());
        let with_body = Request::get("/").body(Full::<Bytes>::from("a body")).unwrap();
        assert!(offer(&with_body).is_none());
    }

    #[tokio::test]
    async fn only_a_plain_stream_is_accepted() {
        use axum::response::IntoResponse;

        let hub = tidecast::Hub::new();
        let accepted = |change: fn(&mut Response<axum::body::Body>)| {
            let handover = Handover::new();
            let subscription = hub.subscribe(["a"], tidecast::Start::Live).unwrap();
            let stream = tidecast_axum::Sse::new(subscription).handover(Some(handover.clone()));
            let mut response = stream.into_response();
            change(&mut response);
            let accepted = accept(&handover, &mut response);
            let says_so = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
            assert_eq!(accepted, says_so);
            accepted
        };
        assert!(accepted(|_| {}));
        assert!(!accepted(|response| *response.status_mut() = StatusCode::IM_A_TEAPOT));
        assert!(!accepted(|response| *response = ([(header::CONTENT_TYPE, "text/event-stream")], "").into_response()));
        for name in ["content-encoding", "content-length", "transfer-encoding", "trailer", "upgrade"] {
            let handover = Handover::new();
            let subscription = hub.subscribe(["a"], tidecast::Start::Live).unwrap();
            let mut response = tidecast_axum::Sse::new(subscription).handover(Some(handover.clone())).into_response();
            response.headers_mut().insert(name, HeaderValue::from_static("gzip"));
            assert!(!accept(&handover, &mut response), "{name}");
        }
        let mut other = axum::response::Response::new(axum::body::Body::empty());
        assert!(!accept(&Handover::new(), &mut other));
    }
}
