//! A connection: its requests are read and answered until it ends, the server stops, or a stream leaves with its socket.
//!
//! It is driven through hyper's own connection type: the ready-made servers around that have no deadline for a request's
//! head, and can't be taken apart. hyper documents `into_parts` for connections that are done. Moving a stream out relies on more:
//! hyper flushes only with an empty write buffer. So its version is pinned, and the tests of detached streams show for each
//! new one whether that still holds.

pub(crate) mod cork;
pub(crate) mod handler;
mod head;
mod head_timer;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use http::{Request, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tidecast::internals::NotifyBatch;
use tidecast_axum::internals::TakenStream;
use tokio::sync::watch;

use crate::{
    connection::{
        cork::{CorkedSocket, StreamState},
        handler::{ConnectionInfo, EarlyProtocol, Handler, ReadAhead},
        head_timer::HeadTimer,
    },
    counters::{ConnectionCounters, count},
    detach::{self, ConnectionGuard, Detached, Offer},
    limits::CONNECTION_BUFFER_BYTES,
    listener::{
        AcceptedConnection,
        connection_limit::{Evictable, Permit},
        socket::Socket,
    },
    options::ServeOptions,
    reactor::Reactors,
};

/// The parts that all connections of a server share.
#[derive(Debug)]
pub(crate) struct Service<H, P> {
    pub(crate) handler: H,
    pub(crate) early: P,
    pub(crate) options: ServeOptions,
    pub(crate) counters: Arc<ConnectionCounters>,
    pub(crate) reactors: Reactors,
}

/// The slot that a connection holds while it is served here.
struct ConnectionSlot {
    permit: Permit,
    evictable: Evictable,
}

/// How serving a connection ended.
enum ConnectionEnd {
    /// hyper is done with it.
    Done(hyper::Result<()>),
    /// Writing failed.
    WriteFailed(io::Error),
    /// It carries a stream that needs hyper no more.
    Detachable(Offer),
    /// It carries a stream, and its client has closed its side.
    ClientClosed,
    /// The server closes it.
    Closed,
}

impl<H: Handler, P: EarlyProtocol> Service<H, P> {
    /// Sets up an accepted connection and serves it until it ends. Once `stopping` is true, it ends after the current
    /// response. Its slot is given back at the end.
    pub(crate) async fn serve(self: Arc<Self>, accepted: AcceptedConnection, stopping: watch::Receiver<bool>) {
        if let Err(error) = accepted.socket.configure(&self.options) {
            tracing::debug!(client = %accepted.origin.client, %error, "failed to set up a connection");
            return;
        }
        self.serve_configured(accepted, stopping).await;
    }

    /// Serves a connection whose socket's options are set.
    ///
    /// Most of its memory is allocated when the first bytes have come: in a burst of connections that soon are idle
    /// streams, only those count that just send their request.
    pub(crate) async fn serve_configured(
        self: Arc<Self>,
        AcceptedConnection { socket, origin, permit }: AcceptedConnection,
        mut stopping: watch::Receiver<bool>,
    ) {
        let socket = match Socket::register(socket, self.options.stall_timeout, self.counters.clone()) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(client = %origin.client, %error, "failed to register a connection with its runtime");
                return;
            }
        };
        let evictable = permit.evictable();
        let info = ConnectionInfo::new(origin, evictable.activity().clone());
        let read_ahead = self.early.serve(socket, &info, until_true(&mut stopping)).await;
        let Some(read_ahead) = read_ahead else { return };
        Box::pin(self.serve_requests(read_ahead, info, ConnectionSlot { permit, evictable }, stopping)).await;
    }

    async fn serve_requests(
        self: Arc<Self>,
        ReadAhead { socket, unread, begun_at }: ReadAhead,
        info: ConnectionInfo,
        ConnectionSlot { permit, evictable }: ConnectionSlot,
        mut stopping: watch::Receiver<bool>,
    ) {
        let socket = CorkedSocket::new(socket, unread, begun_at);
        let (client, activity) = (info.origin.client, info.activity.clone());
        let (service, offering) = (self.clone(), socket.clone());
        let respond = service_fn(move |mut request: Request<Incoming>| {
            info.activity.set_busy();
            let version = request.version();
            let offer = detach::offer(&request, service.reactors.any());
            if let Some(offer) = &offer {
                request.extensions_mut().insert(offer.handoff.clone());
            }
            let offer = offer.map(|offer| (offer, offering.clone()));
            let (service, info) = (service.clone(), info.clone());
            async move {
                let activity = info.activity.clone();
                let mut response = service.handler.respond(request, info).await;
                if let Some((mut offer, socket)) = offer
                    && detach::accept(&mut offer, &mut response)
                {
                    socket.offer(offer);
                } else {
                    // Only the response is still to be written. A client that does not read it may lose its slot.
                    activity.set_idle();
                }
                if version == Version::HTTP_10 && response.headers().contains_key(header::CONNECTION) {
                    // Otherwise hyper adds the `keep-alive` of the request to our `close`.
                    *response.version_mut() = version;
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(HeadTimer::new(socket.clone(), activity.clone(), &self.options))
            // Makes hyper ask for a timer, which has its own timeouts.
            .header_read_timeout(self.options.header_timeout)
            // A client that sends a whole request and closes its side gets its response. `poll_stream` notices when the
            // client of a stream is gone.
            .half_close(true)
            .max_buf_size(CONNECTION_BUFFER_BYTES)
            .serve_connection(TokioIo::new(socket.clone()), respond);

        let mut stop = pin!(until_true(&mut stopping));
        let mut stops = false;
        let end = poll_fn(|context| {
            if !stops && stop.as_mut().poll(context).is_ready() {
                stops = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            let polled = {
                // Requests that arrived together notify each channel once.
                let _batch = NotifyBatch::begin();
                Pin::new(&mut connection).poll(context)
            };
            if let Poll::Ready(result) = polled {
                return Poll::Ready(ConnectionEnd::Done(result));
            }
            if let Poll::Ready(Err(error)) = socket.poll_uncork(context) {
                return Poll::Ready(ConnectionEnd::WriteFailed(error));
            }
            if activity.poll_evicted(context) {
                return Poll::Ready(ConnectionEnd::Closed);
            }
            match socket.poll_stream(context) {
                StreamState::Active => Poll::Pending,
                StreamState::Detachable(offer) => Poll::Ready(ConnectionEnd::Detachable(offer)),
                StreamState::ClientClosed => Poll::Ready(ConnectionEnd::ClientClosed),
                StreamState::Broken | StreamState::Overdue => Poll::Ready(ConnectionEnd::Closed),
                StreamState::TooMuchInput => {
                    count(&self.counters.closed_input);
                    Poll::Ready(ConnectionEnd::Closed)
                }
            }
        })
        .await;
        drop(evictable);

        match end {
            ConnectionEnd::Done(Ok(())) | ConnectionEnd::Closed => {}
            ConnectionEnd::ClientClosed => {
                poll_fn(|context| Poll::Ready(socket.poll_uncork(context))).await.is_ready();
            }
            ConnectionEnd::Done(Err(error)) => {
                // Earlier responses may not have been written yet.
                poll_fn(|context| Poll::Ready(socket.poll_uncork(context))).await.is_ready();
                tracing::debug!(%client, %error, "connection failed");
            }
            ConnectionEnd::WriteFailed(error) => tracing::debug!(%client, %error, "connection failed"),
            ConnectionEnd::Detachable(Offer { handoff, chunked, .. }) => {
                let Some(TakenStream { subscription, sent_at, deadline, attached, .. }) = handoff.take() else {
                    return;
                };
                // Drops the response's body, and what hyper has read ahead: the head told the client so.
                drop(connection.into_parts());
                let Some((socket, unwritten)) = socket.take() else { return };
                let socket = match socket.deregister() {
                    Ok(socket) => socket,
                    Err(error) => {
                        tracing::error!(%client, %error, "failed to detach a connection");
                        return;
                    }
                };
                let guard = ConnectionGuard { _permit: permit, _attached: attached };
                self.reactors.add(Detached { socket, unwritten, subscription, sent_at, deadline, chunked, guard });
            }
        }
    }
}

async fn until_true(flag: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops the server too.
    let _ = flag.wait_for(|set| *set).await;
}
