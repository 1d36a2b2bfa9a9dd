//! The access log: a line for each request, and one for the end of each stream, at the target `tidecast::access`.
//!
//! If it is off, it costs one check of a flag. Lines leave out the query, which may have a ticket. Requests that hyper refuses
//! have no line, because they do not reach the router.

use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use http_body::Body;
use tidecast_serve::ConnectionOrigin;
use tracing::Level;

/// The target of the lines.
pub(crate) const TARGET: &str = "tidecast::access";

/// Returns whether the lines are written.
pub(crate) fn is_on() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// The line of a request in progress.
pub(crate) struct RequestLine {
    peer: ConnectionOrigin,
    method: Method,
    path: String,
    begun_at: Instant,
}

impl RequestLine {
    /// Begins the line of a request; `None` if the access log is off.
    pub(crate) fn begin<B>(peer: ConnectionOrigin, request: &Request<B>) -> Option<Self> {
        is_on().then(|| Self {
            peer,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            begun_at: Instant::now(),
        })
    }

    /// Writes the line, with the response. The number of bytes is left out if it is unknown, as for a stream.
    pub(crate) fn end<B: Body>(self, response: &Response<B>) {
        let Self { peer, method, path, begun_at } = self;
        let bytes = if method == Method::HEAD { Some(0) } else { response.body().size_hint().exact() };
        write(&peer, &method, &path, response.status().as_u16(), bytes, begun_at.elapsed());
    }
}

/// Writes the line of a request.
pub(crate) fn write(
    peer: &ConnectionOrigin,
    method: &Method,
    path: &str,
    status: u16,
    bytes: Option<u64>,
    duration: Duration,
) {
    let (client, duration_us) = (peer.ip(), microseconds(duration));
    tracing::info!(target: TARGET, %client, %method, path, status, bytes, duration_us, "request");
}

/// An open stream, which has a line when it ends.
#[derive(Debug)]
pub(crate) struct OpenStream {
    peer: ConnectionOrigin,
    begun_at: Instant,
}

impl OpenStream {
    /// Begins a stream; `None` if the access log is off.
    pub(crate) fn begin(peer: ConnectionOrigin) -> Option<Box<Self>> {
        is_on().then(|| Box::new(Self { peer, begun_at: Instant::now() }))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let (client, duration_us) = (self.peer.ip(), microseconds(self.begun_at.elapsed()));
        tracing::info!(target: TARGET, %client, duration_us, "stream ended");
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
