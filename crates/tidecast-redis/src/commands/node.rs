//! A node of Redis: its connection, shared by all calls, and the connect that makes the next one.
//!
//! One connect runs at a time. After a failed one, calls fail with its error until a pause is over.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    address::Address, backoff::Backoff, command_connection::CommandConnection, connector::Connector, error::CallError,
    topology::Endpoint,
};

/// A node, and its connection for commands.
pub(crate) struct RedisNode {
    endpoint: Endpoint,
    connector: Connector,
    permits: Arc<Semaphore>,
    state: Mutex<NodeState>,
}

struct NodeState {
    connection: Option<Arc<CommandConnection>>,
    /// The result of the connect under way.
    connecting: Option<watch::Receiver<Option<ConnectResult>>>,
    /// No connect begins before this time, because the last one failed with this error.
    retry_after: Option<(Instant, CallError)>,
    backoff: Backoff,
}

type ConnectResult = Result<Arc<CommandConnection>, CallError>;

impl RedisNode {
    pub(crate) fn new(endpoint: Endpoint, connector: Connector) -> Self {
        let state = NodeState { connection: None, connecting: None, retry_after: None, backoff: RECONNECT };
        Self { endpoint, connector, permits: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), state: Mutex::new(state) }
    }

    /// Waits until `count` more calls may be in flight.
    pub(crate) async fn permits(&self, count: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, CallError> {
        let count = u32::try_from(count.min(IN_FLIGHT_MAX)).unwrap_or(1);
        match timeout_at(deadline, Arc::clone(&self.permits).acquire_many_owned(count)).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(CallError::unavailable(format!("{IN_FLIGHT_MAX} calls are in flight already"))),
        }
    }

    /// Returns the connection, making one if there is none.
    ///
    /// # Cancel safety
    ///
    /// A connect continues for later callers if the future is dropped.
    pub(crate) async fn connection(self: &Arc<Self>, deadline: Instant) -> ConnectResult {
        let mut connecting = {
            let mut state = self.state.lock();
            if let Some(connection) = state.connection.as_ref().filter(|connection| connection.is_alive()) {
                return Ok(Arc::clone(connection));
            }
            match (&state.connecting, &state.retry_after) {
                (Some(connecting), _) => connecting.clone(),
                (None, Some((until, error))) if Instant::now() < *until => return Err(error.clone()),
                (None, _) => {
                    let (sender, connecting) = watch::channel(None);
                    state.connecting = Some(connecting.clone());
                    tokio::spawn(Arc::clone(self).connect(sender));
                    connecting
                }
            }
        };
        let waited = timeout_at(deadline, connecting.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(connected)) => connected.clone().unwrap_or_else(|| Err(CallError::unavailable("no connection"))),
            Ok(Err(_)) => Err(CallError::unavailable("the connect was aborted")),
            Err(_) => Err(CallError::unavailable("no connection in time")),
        }
    }

    /// Sends later calls to another address. Calls in flight end where they are.
    pub(crate) fn switch_to(&self, address: &Address) {
        let mut state = self.state.lock();
        if state.connection.as_ref().is_some_and(|connection| connection.address != *address) {
            state.connection = None;
        }
        state.retry_after = None;
    }

    /// Lets the next call connect, although the last connect failed.
    pub(crate) fn retry_now(&self) {
        self.state.lock().retry_after = None;
    }

    /// Returns how long a connection may be silent with a call on it before it is dropped.
    pub(crate) fn reply_silence_max(&self) -> Duration {
        self.connector.config.command_timeout / 2
    }

    /// Closes a connection, and forgets it if it is the one in use.
    pub(crate) fn drop_connection(&self, connection: &Arc<CommandConnection>) {
        connection.close();
        let mut state = self.state.lock();
        if state.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            state.connection = None;
        }
    }

    async fn connect(self: Arc<Self>, result: watch::Sender<Option<ConnectResult>>) {
        // If this panics or the runtime ends, later calls must not wait for it.
        let connecting_guard = ConnectingGuard(&self);
        let switched = self.connector.switched.subscribe();
        let connect = self.endpoint.connect(&self.connector, |address, expected| {
            let connector = self.connector.clone();
            async move { connector.connect(&address, expected).await }
        });
        let time = self.connector.config.connect_timeout;
        let connected = timeout(time, Box::pin(connect))
            .await
            .unwrap_or_else(|_| Err(CallError::unavailable(format!("no connection within {time:?}"))));
        let mut connected = connected.map(Arc::new);
        let mut state = self.state.lock();
        // The primary may have moved during the connect.
        let moved_to = switched.has_changed().is_ok_and(|changed| changed).then(|| switched.borrow().clone()).flatten();
        let has_moved = matches!((&connected, moved_to), (Ok(old), Some(primary)) if old.address != primary);
        if has_moved {
            connected = Err(CallError::unavailable("the primary has moved"));
        }
        match &connected {
            Ok(connection) => {
                tracing::debug!(node = %connection.address, "redis: connected");
                state.connection = Some(Arc::clone(connection));
                state.retry_after = None;
                state.backoff.reset();
                self.connector.reached.send_replace(());
            }
            // The next call connects at once, to the new primary.
            Err(_) if has_moved => {
                state.connection = None;
                state.retry_after = None;
            }
            Err(error) => {
                // At least half of the pause, so that even the first one holds off a crowd of calls.
                let pause = state.backoff.after_failure(fastrand::f64() / 2.0 + 0.5);
                tracing::debug!(reason = %error, ?pause, "redis: cannot connect");
                state.connection = None;
                state.retry_after = Some((Instant::now() + pause, error.clone()));
            }
        }
        drop(state);
        drop(connecting_guard);
        result.send_replace(Some(connected));
    }
}

impl fmt::Debug for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("place", &self.endpoint)
            .field("connection", &self.state.lock().connection)
            .finish()
    }
}

struct ConnectingGuard<'a>(&'a RedisNode);

impl Drop for ConnectingGuard<'_> {
    fn drop(&mut self) {
        self.0.state.lock().connecting = None;
    }
}

/// The most calls in flight at one node. More wait, within their deadline.
pub(crate) const IN_FLIGHT_MAX: usize = 1_024;

/// The pauses after failed connects: at least 100 ms at first, at most 1 s.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
