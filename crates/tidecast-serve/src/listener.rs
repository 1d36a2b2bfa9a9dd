//! The accept loop, and the end of it.
//!
//! Our own, because what comes ready-made has no limit on connections, and no way to share them out over threads that
//! share nothing else. What is accepted goes to [`connection`](crate::connection).
//!
//! Clients that all come back at once fill the system's queue within a tenth of a second, and of those that find it full
//! some are turned away. So once one has come all that wait are taken, on a thread that serves nobody.

pub(crate) mod connection_limit;
pub(crate) mod shutdown;
pub(crate) mod socket;
pub(crate) mod workers;

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    app::App,
    config::Config,
    connection::serve,
    http::router::Routes,
    limits::BACKLOG,
    places::{Place, Places},
    workers::Workers,
};

/// How long to wait after a connection could not be accepted, for example because no file is free: longer each time.
const ACCEPT_BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Most connections that are accepted before anything else has its turn.
const ACCEPTED_AT_ONCE_MAX: usize = 256;

/// Where connections come in.
struct Door {
    /// Waits for a connection.
    listener: TcpListener,
    /// The same socket, which takes those that came with it: without another time around for each.
    same: net::TcpListener,
    places: Arc<Places>,
}

/// What accepts connections and hands them out.
struct Acceptor {
    door: Door,
    routes: Arc<Routes>,
    app: Arc<App>,
    stopped: watch::Receiver<bool>,
    connections: TaskTracker,
    workers: Workers,
}

struct Accepted {
    socket: net::TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// Opens the listening socket.
pub(crate) fn bind(config: &Config) -> anyhow::Result<net::TcpListener> {
    let open = || -> io::Result<net::TcpListener> {
        let socket = Socket::new(Domain::for_address(config.listen), Type::STREAM, Some(Protocol::TCP))?;
        // So that a hub that was stopped can be started again at once.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&config.listen.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "is another program there? --listen ADDR:PORT chooses another",
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: --listen 0.0.0.0:PORT takes connections at each that it has, \
                 --listen 127.0.0.1:PORT those from the machine itself"
            }
            _ => "--listen ADDR:PORT chooses another address",
        };
        anyhow::Error::new(error).context(format!("failed to listen on {}; {why}", config.listen))
    })
}

/// Serves connections until `stop`, then ends them: idle ones at once, streams after everything that was published
/// before and their last block, all within the stop timeout. What is left then is cut, and the workers have ended.
///
/// # Errors
/// If the system can't watch the listening socket.
pub(crate) async fn run(
    listener: net::TcpListener,
    app: Arc<App>,
    workers: Workers,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let places = Places::new(&app.config, app.counters.clone());
    let door = Door::new(listener, places).context("failed to wait for connections")?;
    let (stopping, stopped) = watch::channel(false);
    let connections = TaskTracker::new();
    let acceptor = Acceptor { door, routes: Routes::new(&app), app: app.clone(), stopped, connections, workers };
    let task = app.tasks.add("acceptor");
    tokio::select! {
        () = stop => {}
        () = task.supervise(|| acceptor.run()) => {}
    }

    let Acceptor { door, connections, workers, .. } = acceptor;
    // Nobody else gets in; then streams end, which closes their connections.
    drop(door);
    app.hub.close();
    let _ = stopping.send(true);
    app.reactors.end();
    let ended = timeout(app.config.stop_timeout, async {
        connections.close();
        connections.wait().await;
        // Only now, as any of these may have been detached meanwhile.
        app.reactors.ended().await;
    });
    if ended.await.is_err() {
        let cut = connections.len() + app.reactors.count();
        tracing::warn!(connections = cut, "cut connections that took too long to end");
    }
    workers.end();
    app.reactors.cut();
    tracing::info!("stopped");
    Ok(())
}

impl Acceptor {
    /// Accepts for ever.
    async fn run(&self) {
        let mut backoff = *ACCEPT_BACKOFF.start();
        loop {
            let mut accepted = Some(self.door.accept().await);
            let mut taken = 0;
            while let Some(now) = accepted {
                match now {
                    Ok(accepted) => {
                        backoff = *ACCEPT_BACKOFF.start();
                        self.hand_out(accepted);
                    }
                    // The client was gone before we came to it.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        tracing::error!(%error, ?backoff, "failed to accept a connection");
                        sleep(backoff).await;
                        backoff = (backoff * 2).min(*ACCEPT_BACKOFF.end());
                        break;
                    }
                }
                taken += 1;
                accepted = if taken < ACCEPTED_AT_ONCE_MAX { self.door.accept_now().await } else { None };
            }
        }
    }

    fn hand_out(&self, Accepted { socket, peer, place }: Accepted) {
        let (app, routes, stopped) = (self.app.clone(), self.routes.clone(), self.stopped.clone());
        let connection = async move {
            match TcpStream::from_std(socket) {
                Ok(socket) => serve(socket, peer, app, routes, stopped, place).await,
                Err(error) => tracing::error!(%peer, %error, "failed to wait for a connection"),
            }
        };
        self.connections.spawn_on(connection, &self.workers.next());
    }
}

impl Door {
    fn new(listener: net::TcpListener, places: Arc<Places>) -> io::Result<Self> {
        let same = listener.try_clone()?;
        Ok(Self { listener: TcpListener::from_std(listener)?, same, places })
    }

    /// Waits for a connection, then for its place. Behind one that waits for a place, others wait in the system's queue.
    async fn accept(&self) -> io::Result<Accepted> {
        let (socket, peer) = self.listener.accept().await?;
        // A socket belongs to the runtime that it was made on: it is made anew on the one that will serve it.
        self.with_place(socket.into_std()?, peer).await
    }

    /// Accepts one that waits, if there is a place for it.
    async fn accept_now(&self) -> Option<io::Result<Accepted>> {
        if !self.places.any_free() {
            return None;
        }
        let accepted = self.same.accept().and_then(|(socket, peer)| {
            socket.set_nonblocking(true)?;
            Ok((socket, peer))
        });
        match accepted {
            Ok((socket, peer)) => Some(self.with_place(socket, peer).await),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    async fn with_place(&self, socket: net::TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        match self.places.take(peer.ip()).await {
            Some(place) => Ok(Accepted { socket, peer, place }),
            // Closed as it is dropped, like one whose client has gone.
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    /// Connections were accepted one at a time, each behind what those before it asked for: of a burst of ten thousand some
    /// found the system's queue full, and were reset. All that wait are taken together, as far as there are places.
    #[tokio::test]
    async fn all_that_wait_are_taken_at_once_as_far_as_there_are_places() {
        let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config::from_settings(&Settings::default()).unwrap();
        let places = Places::new(&Config { connections_max: 70, ..config }, Arc::default());
        let door = Door::new(listener, places).unwrap();
        let clients: Vec<_> = (0..100).map(|_| net::TcpStream::connect(address).unwrap()).collect();

        let first = door.accept().await.unwrap();
        let mut others = Vec::new();
        while let Some(accepted) = door.accept_now().await {
            others.push(accepted.unwrap());
        }
        assert_eq!(others.len(), 69);
        drop((first, others));
        // Their places are free again, and nobody was lost who had none.
        let mut rest = Vec::new();
        while let Some(accepted) = door.accept_now().await {
            rest.push(accepted.unwrap());
        }
        assert_eq!(rest.len(), 30);
        drop(clients);
    }
}
