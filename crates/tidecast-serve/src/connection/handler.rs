//! The parts that a program provides: responses to requests, and a protocol of its own for the first bytes of a connection.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    listener::{activity::Activity, socket::Socket},
    origin::ConnectionOrigin,
};

/// The connection that a request came on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Where the connection comes from.
    pub origin: ConnectionOrigin,
    /// Whether the connection may be closed to make room. It is busy while a handler runs. A handler that waits for
    /// something that the client delays, as the rest of a body that it does not need, may mark it idle.
    #[doc(hidden)]
    pub activity: Arc<Activity>,
}

impl ConnectionInfo {
    /// Describes a connection that is idle.
    #[doc(hidden)]
    #[must_use]
    pub fn new(origin: ConnectionOrigin, activity: Arc<Activity>) -> Self {
        Self { origin, activity }
    }
}

/// Responds to requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Returns the response to a request. A panic ends the connection.
    ///
    /// The extensions of a `GET` request hold a cell in which [`Streams`](tidecast_axum::Streams) put the stream. If the
    /// response is that stream, its connection may move to a reactor.
    fn respond(
        &self,
        request: Request<Incoming>,
        connection: ConnectionInfo,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A protocol that may serve the first bytes of a connection, before hyper is set up for it.
///
/// It suits requests that can be answered for less than the general path costs.
pub trait EarlyProtocol: Send + Sync + 'static {
    /// Serves a connection for as long as it can, then returns it for hyper to serve. Returns `None` if the connection is
    /// over: closed by its client, overdue, or [evicted](Activity::poll_evicted).
    ///
    /// `stopping` completes when the server stops; the connection is then to end between two requests.
    fn serve(
        &self,
        socket: Socket,
        connection: &ConnectionInfo,
        stopping: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Option<ReadAhead>> + Send;
}

/// Leaves all requests to hyper.
#[derive(Debug)]
pub(crate) struct NoEarlyProtocol;

impl EarlyProtocol for NoEarlyProtocol {
    async fn serve(&self, socket: Socket, _: &ConnectionInfo, _: impl Future<Output = ()> + Send) -> Option<ReadAhead> {
        Some(ReadAhead { socket, unread: Bytes::new(), begun_at: None })
    }
}

/// A connection of which the beginning of a request may have been read.
#[derive(Debug)]
pub struct ReadAhead {
    /// The socket.
    pub socket: Socket,
    /// The bytes of the next request that were read.
    pub unread: Bytes,
    /// When the first of them was read, or `None` if there are none.
    pub begun_at: Option<Instant>,
}
