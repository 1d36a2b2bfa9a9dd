//! A connection: requests are read from it and answered, until it ends, the hub does, or a stream leaves with its socket.
//!
//! By hyper's own connection, not by what comes ready-made around it: that has no time within which a request's head must
//! arrive, and can't be taken apart. hyper says that `into_parts` is for connections that are done. What
//! [`detach`](crate::detach) does with it relies on more: that hyper asks for a flush only with an empty write buffer. So
//! its version is pinned, and `tests/it/detach.rs` shows for each new one whether that is still so.

pub(crate) mod cork;
pub(crate) mod head_timer;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use http::{Request, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tidecast::NotifyBatch;
use tidecast_axum::internals::TakenStream;
use tokio::{net::TcpStream, sync::watch};

use crate::{
    app::App,
    cork::{CorkedSocket, Streaming},
    detach::{self, Detached, Offer, Seat},
    head_timer::HeadTimer,
    http::{
        publish::fast_path::{self, Unfinished},
        router::Routes,
    },
    limits::CONNECTION_BUFFER_BYTES,
    observe::metrics::Closed,
    places::{Open, Place},
    socket::{GuardedSocket, set_up},
};

/// How serving a connection came to its end.
enum Ended {
    /// It is over.
    Over(hyper::Result<()>),
    /// What was to be written could not be.
    Failed(io::Error),
    /// It is a stream's now, which needs hyper no more.
    Detachable(Offer),
    /// It is a stream's, and its client has closed its side.
    ByClient,
    /// The hub ends it, for a reason that is counted.
    Closed,
}

/// Serves a connection until it ends; once `stopping` says so, after the answer that it is at. `place` is given back with
/// the end.
///
/// Its memory is taken when the first bytes have come: of a burst of connections, each of which is a stream a moment
/// later, only those count that are just at their head.
pub(crate) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    app: Arc<App>,
    routes: Arc<Routes>,
    stopping: watch::Receiver<bool>,
    place: Place,
) {
    if let Err(error) = set_up(&socket, &app.config) {
        tracing::debug!(%peer, %error, "failed to set up a connection");
        return;
    }
    serve_set_up(socket, peer, app, routes, stopping, place).await;
}

/// Serves a connection whose socket's options are set.
pub(crate) async fn serve_set_up(
    socket: TcpStream,
    peer: SocketAddr,
    app: Arc<App>,
    routes: Arc<Routes>,
    mut stopping: watch::Receiver<bool>,
    place: Place,
) {
    let open = place.open();
    let socket = GuardedSocket::new(socket, app.config.stall_timeout, app.counters.clone());
    let Some(left) = fast_path::serve(socket, &app, open.control(), until_true(&mut stopping)).await else { return };
    // In a box, so that a connection which has not said anything yet does without.
    Box::pin(serve_requests(left, app, routes, stopping, Client { peer, place, open })).await;
}

/// Who is served, and what the connection holds until it ends.
struct Client {
    peer: SocketAddr,
    place: Place,
    open: Open,
}

async fn serve_requests(
    Unfinished { socket, unread, begun_at }: Unfinished,
    app: Arc<App>,
    routes: Arc<Routes>,
    mut stopping: watch::Receiver<bool>,
    Client { peer, place, open }: Client,
) {
    let socket = CorkedSocket::new(socket, unread, begun_at);
    let has_reactors = app.reactors.any();
    let (offering, control) = (socket.clone(), open.control().clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        control.begin();
        let version = request.version();
        let offered = detach::offer(&request, has_reactors);
        if let Some(offer) = &offered {
            request.extensions_mut().insert(offer.handoff.clone());
        }
        let answered = routes.clone().answer(peer, control.clone(), request);
        let resting = control.clone();
        let offered = offered.map(|offer| (offer, offering.clone()));
        async move {
            let mut response = answered.await.unwrap_or_else(|never| match never {});
            if let Some((mut offer, socket)) = offered
                && detach::accept(&mut offer, &mut response)
            {
                socket.offer(offer);
            } else {
                // What is left is to write the answer. If the client does not read it, others may have the place.
                resting.rest();
            }
            if version == Version::HTTP_10 && response.headers().contains_key(header::CONNECTION) {
                // Otherwise hyper adds a `keep-alive` that was asked for to our `close`.
                *response.version_mut() = version;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(HeadTimer::new(socket.clone(), open.control().clone(), &app.config))
        // Makes hyper ask for a timer; how long it runs is decided there.
        .header_read_timeout(app.config.header_timeout)
        // A client that sent a whole request and closed its side is answered. A stream's client that has gone is noticed
        // by `poll_stream`.
        .half_close(true)
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket.clone()), service);

    let mut stop = pin!(until_true(&mut stopping));
    let mut stops = false;
    let ended = poll_fn(|context| {
        if !stops && stop.as_mut().poll(context).is_ready() {
            stops = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        let polled = {
            // Requests that came together ring each channel once.
            let _held = NotifyBatch::begin();
            Pin::new(&mut connection).poll(context)
        };
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(Ended::Over(ended));
        }
        if let Poll::Ready(Err(error)) = socket.poll_uncork(context) {
            return Poll::Ready(Ended::Failed(error));
        }
        if open.control().poll_closed(context) {
            return Poll::Ready(Ended::Closed);
        }
        match socket.poll_stream(context) {
            Streaming::GoesOn => Poll::Pending,
            Streaming::Detachable(offer) => Poll::Ready(Ended::Detachable(offer)),
            Streaming::ClientEnded => Poll::Ready(Ended::ByClient),
            Streaming::Broken => Poll::Ready(Ended::Closed),
            Streaming::TooMuchInput => {
                app.counters.count_closed(Closed::Input);
                Poll::Ready(Ended::Closed)
            }
        }
    })
    .await;

    match ended {
        Ended::Over(Ok(())) | Ended::Closed => {}
        Ended::ByClient => {
            poll_fn(|context| Poll::Ready(socket.poll_uncork(context))).await.is_ready();
        }
        Ended::Over(Err(error)) => {
            // What was answered before has not been written yet.
            poll_fn(|context| Poll::Ready(socket.poll_uncork(context))).await.is_ready();
            tracing::debug!(%peer, %error, "connection failed");
        }
        Ended::Failed(error) => tracing::debug!(%peer, %error, "connection failed"),
        Ended::Detachable(Offer { handoff, chunked, .. }) => {
            let Some(TakenStream { subscription, sent_at, ends_at, attached, .. }) = handoff.take() else { return };
            // With the response's body, what hyper has read ahead is dropped: it told the client that it would be.
            drop(connection.into_parts());
            let Some((socket, unwritten)) = socket.take() else { return };
            let socket = match socket.into_std() {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::error!(%peer, %error, "failed to detach a connection");
                    return;
                }
            };
            let seat = Seat { _place: place, _kept: attached };
            app.reactors.adopt(Detached { socket, unwritten, subscription, sent_at, ends_at, chunked, seat });
        }
    }
}

async fn until_true(flag: &mut watch::Receiver<bool>) {
    // An error means that the sender has gone, and with it the program's wish to go on.
    let _ = flag.wait_for(|set| *set).await;
}
