//! The accept loop, and stopping.

use std::{io, net, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    connection::{
        Service,
        handler::{EarlyProtocol, Handler, NoEarlyProtocol},
    },
    counters::ConnectionCounters,
    listener::{Acceptor, connection_limit::ConnectionLimit, socket::RawSocket, workers::Workers},
    options::ServeOptions,
    origin::ConnectionOrigin,
    reactor::Reactors,
    supervise::Supervisor,
};

/// The pause after a connection could not be accepted, for example because no file descriptor is free. It doubles each time.
const ACCEPT_BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Most connections that are accepted before other tasks of the thread have their turn.
const ACCEPTED_AT_ONCE_MAX: usize = 256;

/// A server whose threads run. It accepts nothing yet.
#[derive(Debug)]
pub struct Server {
    options: ServeOptions,
    counters: Arc<ConnectionCounters>,
    tasks: Arc<Supervisor>,
    workers: Workers,
    reactors: Reactors,
}

impl Server {
    /// Starts the threads of a server: `worker-N` for requests, one per core, and `reactor-N` for idle streams. `tasks`
    /// supervises them, and `counters` counts the connections.
    ///
    /// To be called within a runtime, on which the reactors poll subscriptions.
    ///
    /// # Errors
    ///
    /// Those of [`ServeOptions::validate`], and those of the system if it can't start a thread.
    pub fn start(options: ServeOptions, counters: Arc<ConnectionCounters>, tasks: Arc<Supervisor>) -> io::Result<Self> {
        options.validate()?;
        let reactors = Reactors::start(&options, &counters, &tasks)?;
        let workers = Workers::start(&tasks)?;
        Ok(Self { options, counters, tasks, workers, reactors })
    }

    /// Serves the connections of a listener until `stop` completes, then ends them within the stop timeout: idle ones at
    /// once, streams after all their events and a last block. Connections that are left after that are cut, and the threads
    /// end.
    ///
    /// `close` is called when no further connection is accepted. It has all streams end, for example by closing their hub.
    ///
    /// # Errors
    ///
    /// Those of the system, if it can't wait for the listener.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts all connections; the threads of the reactors stay.
    pub async fn serve<H: Handler>(
        self,
        listener: net::TcpListener,
        handler: H,
        stop: impl Future<Output = ()>,
        close: impl FnOnce(),
    ) -> io::Result<()> {
        self.serve_with_early_protocol(listener, handler, NoEarlyProtocol, stop, close).await
    }

    /// Serves as [`serve`](Self::serve) does, with a protocol that may serve the first bytes of each connection.
    #[doc(hidden)]
    pub async fn serve_with_early_protocol<H: Handler, P: EarlyProtocol>(
        self,
        listener: net::TcpListener,
        handler: H,
        early: P,
        stop: impl Future<Output = ()>,
        close: impl FnOnce(),
    ) -> io::Result<()> {
        let Self { options, counters, tasks, workers, reactors } = self;
        let acceptor = Acceptor::new(listener, ConnectionLimit::new(&options, counters.clone()))?;
        let stop_timeout = options.stop_timeout;
        let service = Arc::new(Service { handler, early, options, counters, reactors });
        let (stopping, stopped) = watch::channel(false);
        let connections = TaskTracker::new();
        let accepting = AcceptLoop { acceptor, service: service.clone(), stopped, connections, workers };
        let task = tasks.add("acceptor");
        tokio::select! {
            () = stop => {}
            () = task.supervise(|| accepting.run()) => {}
        }

        let AcceptLoop { acceptor, connections, workers, .. } = accepting;
        // No further connection gets in. Then the streams end, which closes their connections.
        drop(acceptor);
        close();
        let _ = stopping.send(true);
        service.reactors.close();
        let ended = timeout(stop_timeout, async {
            connections.close();
            connections.wait().await;
            // Only now: a connection may have moved to a reactor meanwhile.
            service.reactors.wait_empty().await;
        });
        if ended.await.is_err() {
            let cut = connections.len() + service.reactors.streams();
            tracing::warn!(connections = cut, "cut connections that took too long to end");
        }
        workers.end();
        service.reactors.cut();
        tracing::info!("stopped");
        Ok(())
    }
}

/// Accepts connections and hands them to the workers.
struct AcceptLoop<H, P> {
    acceptor: Acceptor,
    service: Arc<Service<H, P>>,
    stopped: watch::Receiver<bool>,
    connections: TaskTracker,
    workers: Workers,
}

impl<H: Handler, P: EarlyProtocol> AcceptLoop<H, P> {
    /// Accepts for ever.
    async fn run(&self) {
        let mut backoff = *ACCEPT_BACKOFF.start();
        loop {
            let mut next = Some(self.acceptor.accept().await);
            let mut count = 0;
            while let Some(result) = next {
                match result {
                    Ok(accepted) => {
                        backoff = *ACCEPT_BACKOFF.start();
                        let serving = self.service.clone().serve(accepted, self.stopped.clone());
                        self.connections.spawn_on(serving, &self.workers.next());
                    }
                    // The client has gone, or has too many connections.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        tracing::error!(%error, ?backoff, "failed to accept a connection");
                        sleep(backoff).await;
                        backoff = (backoff * 2).min(*ACCEPT_BACKOFF.end());
                        break;
                    }
                }
                count += 1;
                next = if count < ACCEPTED_AT_ONCE_MAX { self.acceptor.accept_queued().await } else { None };
            }
        }
    }
}

/// Serves one connection on the current runtime, without workers and reactors. For fuzz targets.
pub async fn serve_connection<H: Handler, P: EarlyProtocol>(
    socket: RawSocket,
    origin: ConnectionOrigin,
    options: ServeOptions,
    handler: H,
    early: P,
    stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let counters = Arc::<ConnectionCounters>::default();
    let options = ServeOptions { reactors: 0, ..options };
    let limit = ConnectionLimit::new(&options, counters.clone());
    let reactors = Reactors::start(&options, &counters, &Supervisor::default())?;
    let Some(permit) = limit.acquire(origin.ip()).await else { return Err(io::ErrorKind::ConnectionAborted.into()) };
    let service = Arc::new(Service { handler, early, options, counters, reactors });
    service.serve_configured(crate::listener::AcceptedConnection { socket, origin, permit }, stopping).await;
    Ok(())
}
