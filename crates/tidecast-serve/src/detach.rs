//! Which streams leave hyper, and what leaves with them.
//!
//! A stream leaves once its body is idle and hyper has flushed after that, which it does only with an empty buffer. Either
//! condition alone would lose bytes of a slow client.
//!
//! Whether a stream may leave is decided from its response, after the handler and all layers. When it leaves, its body is
//! dropped with every layer's wrapper around it. So a value that must last as long as the stream is attached to its hand-off.
//! A layer that changes the bytes of a stream must show it by a header, as compression does by `Content-Encoding`.

use std::any::Any;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use tidecast::Subscription;
use tidecast_axum::internals::{Deadline, StreamHandoff};
use tokio::time::Instant;

use crate::listener::{connection_limit::Permit, socket::RawSocket};

/// A stream with its socket, as it left hyper.
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) socket: RawSocket,
    /// Bytes to be written first.
    pub(crate) unwritten: Bytes,
    pub(crate) subscription: Subscription,
    pub(crate) sent_at: Instant,
    /// When the stream ends whatever happens; `None` is never.
    pub(crate) deadline: Option<Deadline>,
    /// Whether the body is sent in chunks, which HTTP/1.0 does not know.
    pub(crate) chunked: bool,
    pub(crate) guard: ConnectionGuard,
}

/// The slot of a connection and the values attached to its stream, held until the connection ends.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    pub(crate) _permit: Permit,
    pub(crate) _attached: Option<Box<dyn Any + Send>>,
}

/// A cell for the stream that may be the response to a request, and how it would be served.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) handoff: StreamHandoff,
    /// When the stream ends whatever happens; `None` is never. Known once a response has the stream.
    pub(crate) deadline: Option<Deadline>,
    /// Whether the stream may leave hyper.
    pub(crate) detaches: bool,
    /// Whether the body is sent in chunks, which HTTP/1.0 does not know.
    pub(crate) chunked: bool,
}

/// Makes a cell for a request whose response may be a stream. A client that still sends a body stays with hyper, which
/// reads it.
pub(crate) fn offer<B: Body>(request: &Request<B>, has_reactors: bool) -> Option<Offer> {
    (request.method() == Method::GET).then(|| Offer {
        handoff: StreamHandoff::new(),
        deadline: None,
        detaches: has_reactors && request.body().is_end_stream(),
        chunked: request.version() != Version::HTTP_10,
    })
}

/// Returns whether a response is the stream that was offered. If so, it is the last one on its connection, and its head
/// says so.
pub(crate) fn accept<B>(offer: &mut Offer, response: &mut Response<B>) -> bool {
    let is_stream = response.status() == StatusCode::OK && offer.handoff.has_stream();
    if is_stream {
        offer.deadline = offer.handoff.deadline();
        offer.detaches &= is_plain_stream(response.headers());
        // The client learns that requests which it sends after this one are not answered.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    is_stream
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
    fn only_a_get_is_offered_and_only_one_without_a_body_detaches() {
        let request =
            |method, version| Request::builder().method(method).version(version).body(Empty::<Bytes>::new()).unwrap();
        let offered = |method, version| offer(&request(method, version), true);
        let plain = offered(Method::GET, Version::HTTP_11).unwrap();
        assert!(plain.detaches && plain.chunked);
        let old = offered(Method::GET, Version::HTTP_10).unwrap();
        assert!(old.detaches && !old.chunked);
        assert!(offered(Method::HEAD, Version::HTTP_11).is_none());
        assert!(offered(Method::POST, Version::HTTP_11).is_none());
        assert!(!offer(&request(Method::GET, Version::HTTP_11), false).unwrap().detaches);
        let with_body = Request::get("/").body(Full::<Bytes>::from("a body")).unwrap();
        assert!(!offer(&with_body, true).unwrap().detaches);
    }

    #[tokio::test]
    async fn only_a_plain_stream_is_accepted() {
        use axum::response::IntoResponse;

        let hub = tidecast::Hub::new();
        let accepted = |change: &dyn Fn(&mut Response<axum::body::Body>)| {
            let mut offer = offer(&Request::get("/").body(Empty::<Bytes>::new()).unwrap(), true).unwrap();
            let subscription = hub.subscribe(["a"], tidecast::Start::Live).unwrap();
            let stream = tidecast_axum::Sse::new(subscription).handoff(Some(offer.handoff.clone()));
            let mut response = stream.into_response();
            change(&mut response);
            let accepted = accept(&mut offer, &mut response);
            let closes = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
            assert_eq!(accepted, closes);
            (accepted, offer.detaches)
        };
        assert_eq!(accepted(&|_| {}), (true, true));
        assert!(!accepted(&|response| *response.status_mut() = StatusCode::IM_A_TEAPOT).0);
        assert!(
            !accepted(&|response| *response = ([(header::CONTENT_TYPE, "text/event-stream")], "").into_response()).0
        );
        for name in ["content-encoding", "content-length", "transfer-encoding", "trailer", "upgrade"] {
            let coded = |response: &mut Response<_>| {
                response.headers_mut().insert(name, HeaderValue::from_static("gzip"));
            };
            assert_eq!(accepted(&coded), (true, false), "{name}");
        }
    }
}
