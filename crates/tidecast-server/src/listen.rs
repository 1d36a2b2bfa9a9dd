//! The accept loop, and the end of it.
//!
//! Our own, because what comes ready-made has no limit on connections, and no way to share them out over threads that
//! share nothing else. What is accepted goes to [`connection`](crate::connection).

use std::{
    io,
    net::{self, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{app::App, bounds::BACKLOG, config::Config, connection::serve, routes::Routes, workers::Workers};

/// How long to wait after a connection could not be accepted, for example because no file is free: longer each time.
const ACCEPT_BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Opens the listening socket.
pub(crate) fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(config.listen), Type::STREAM, Some(Protocol::TCP))?;
        // So that a hub that was stopped can be started again at once.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&config.listen.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().with_context(|| {
        format!("failed to listen on {}; is another program there? --listen ADDR:PORT chooses another", config.listen)
    })
}

/// Serves connections until `stop`, then ends them: idle ones at once, streams after everything that was published
/// before and their last block, all within the stop timeout.
pub(crate) async fn run(listener: TcpListener, app: Arc<App>, workers: &mut Workers, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let places = Arc::new(Semaphore::new(app.config.connections_max.min(Semaphore::MAX_PERMITS)));
    let (stopping, stopped) = watch::channel(false);
    let routes = Routes::new(&app);
    let mut connections = JoinSet::new();
    let mut backoff = *ACCEPT_BACKOFF.start();

    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            // Those that have ended are taken out as they come, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((socket, peer, place)) => {
                backoff = *ACCEPT_BACKOFF.start();
                let (app, routes, stopped) = (app.clone(), routes.clone(), stopped.clone());
                let connection = async move {
                    match TcpStream::from_std(socket) {
                        Ok(socket) => serve(socket, peer, app, routes, stopped, place).await,
                        Err(error) => tracing::error!(%peer, %error, "failed to wait for a connection"),
                    }
                };
                connections.spawn_on(connection, workers.next());
            }
            // The client was gone before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, ?backoff, "failed to accept a connection");
                tokio::select! {
                    () = &mut stop => break,
                    () = sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(*ACCEPT_BACKOFF.end());
            }
        }
    }

    // Nobody else gets in; then streams end, which closes their connections.
    drop(listener);
    app.hub.close();
    let _ = stopping.send(true);
    app.reactors.end();
    let ended = timeout(app.config.stop_timeout, async {
        while connections.join_next().await.is_some() {}
        // Only now, as any of these may have been detached meanwhile.
        app.reactors.ended().await;
    });
    if ended.await.is_err() {
        let cut = connections.len() + app.reactors.count();
        tracing::warn!(connections = cut, "cut connections that took too long to end");
        connections.shutdown().await;
    }
    app.reactors.cut();
    tracing::info!("stopped");
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // First a place, then a connection: who finds none waits in the kernel's queue.
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    // A socket belongs to the runtime that it was made on: it is made anew on the one that will serve it.
    Ok((socket.into_std()?, peer, place))
}
