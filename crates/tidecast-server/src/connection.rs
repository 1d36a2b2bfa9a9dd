//! A connection: requests are read from it and answered, until it ends or the hub does.
//!
//! By hyper's own connection, not by what comes ready-made around it: that has no time within which a request's head must
//! arrive.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use axum::extract::ConnectInfo;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch};
use tower::ServiceExt;

use crate::{
    app::App,
    bounds::CONNECTION_BUFFER_BYTES,
    socket::{GuardedSocket, set_up},
};

/// Serves a connection until it ends; once `stopping` says so, after the answer that it is at.
pub(crate) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    app: Arc<App>,
    router: axum::Router,
    mut stopping: watch::Receiver<bool>,
) {
    let _counted = app.counters.connection();
    if let Err(error) = set_up(&socket, &app.config) {
        tracing::debug!(%peer, %error, "failed to set up a connection");
        return;
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let socket = GuardedSocket::new(socket, app.config.stall_timeout, app.counters.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.header_timeout)
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until_true(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection failed");
    }
}

async fn until_true(flag: &mut watch::Receiver<bool>) {
    // An error means that the sender has gone, and with it the program's wish to go on.
    let _ = flag.wait_for(|set| *set).await;
}
