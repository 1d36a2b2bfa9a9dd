//! The listening socket, and accepting connections within the limits.
//!
//! When all clients reconnect at once, they fill the system's accept queue within a tenth of a second, and clients that find
//! it full are turned away. So after each connection that was waited for, all others in the queue are accepted too.

pub(crate) mod activity;
pub(crate) mod connection_limit;
pub(crate) mod shutdown;
pub(crate) mod socket;
pub(crate) mod workers;

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
};

use socket2::{Domain, Protocol, Socket as RawListener, Type};
use tokio::net::TcpListener;

use crate::{
    limits::BACKLOG,
    listener::{
        connection_limit::{ConnectionLimit, Permit},
        socket::RawSocket,
    },
    origin::ConnectionOrigin,
};

/// Opens a listening socket, which does not block. Port 0 picks a free port.
///
/// # Errors
///
/// Those of the system, for example [`AddrInUse`](io::ErrorKind::AddrInUse).
pub fn bind(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = RawListener::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a server that was stopped be started again at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections and gives each a slot.
pub(crate) struct Acceptor {
    /// Waits for a connection.
    listener: TcpListener,
    /// The same socket, for connections that need not be waited for.
    queue: net::TcpListener,
    address: SocketAddr,
    limit: Arc<ConnectionLimit>,
}

/// A connection that was accepted.
pub(crate) struct AcceptedConnection {
    pub(crate) socket: RawSocket,
    pub(crate) origin: ConnectionOrigin,
    pub(crate) permit: Permit,
}

impl Acceptor {
    /// Creates an acceptor on the current runtime.
    pub(crate) fn new(listener: net::TcpListener, limit: Arc<ConnectionLimit>) -> io::Result<Self> {
        let (queue, address) = (listener.try_clone()?, listener.local_addr()?);
        Ok(Self { listener: TcpListener::from_std(listener)?, queue, address, limit })
    }

    /// Waits for a connection, then for its slot. Further connections wait in the system's queue meanwhile.
    ///
    /// # Errors
    ///
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) if the client has gone or has too many connections, and
    /// those of the system.
    pub(crate) async fn accept(&self) -> io::Result<AcceptedConnection> {
        let (socket, client) = self.listener.accept().await?;
        // A socket belongs to one runtime, so the runtime that serves it registers it anew.
        self.admit(socket.into_std()?, client).await
    }

    /// Accepts a connection that waits in the system's queue. Returns `None` if the queue is empty or no slot is free.
    pub(crate) async fn accept_queued(&self) -> Option<io::Result<AcceptedConnection>> {
        if !self.limit.has_room() {
            return None;
        }
        let accepted = self.queue.accept().and_then(|(socket, client)| {
            socket.set_nonblocking(true)?;
            Ok((socket, client))
        });
        match accepted {
            Ok((socket, client)) => Some(self.admit(socket, client).await),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    async fn admit(&self, socket: net::TcpStream, client: SocketAddr) -> io::Result<AcceptedConnection> {
        let origin = ConnectionOrigin::plain(self.address, client);
        match self.limit.acquire(origin.ip()).await {
            Some(permit) => Ok(AcceptedConnection { socket: socket.into(), origin, permit }),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ServeOptions;

    /// Connections were accepted one at a time, each after the requests of those before it: in a burst of ten thousand,
    /// some clients found the system's queue full and were reset.
    #[tokio::test]
    async fn all_queued_connections_are_accepted_at_once_as_far_as_there_is_room() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { connections_max: 70, ..ServeOptions::default() };
        let acceptor = Acceptor::new(listener, ConnectionLimit::new(&options, Arc::default())).unwrap();
        let clients: Vec<_> = (0..100).map(|_| net::TcpStream::connect(address).unwrap()).collect();

        let first = acceptor.accept().await.unwrap();
        let mut others = Vec::new();
        while let Some(accepted) = acceptor.accept_queued().await {
            others.push(accepted.unwrap());
        }
        assert_eq!(others.len(), 69);
        drop((first, others));
        // Their slots are free again, and no waiting connection was lost.
        let mut rest = Vec::new();
        while let Some(accepted) = acceptor.accept_queued().await {
            rest.push(accepted.unwrap());
        }
        assert_eq!(rest.len(), 30);
        drop(clients);
    }
}
