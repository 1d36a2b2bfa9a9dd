//! A connection for commands to one server: opens it, logs in, and checks that the server has the expected role.
//!
//! The redis crate's multiplexed connection encodes and pipelines commands. This adds the transport, a driver task that
//! ends with its owner, and a count of replies. It does not reconnect; `node` does.

use std::{
    fmt, io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, FutureExt, select};
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use crate::{
    RedisConfig,
    address::Address,
    config::Login,
    error::CallError,
    reply,
    transport::{Transport, TransportOpener},
};

/// Makes connections with the same settings for every server.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) config: Arc<RedisConfig>,
    opener: TransportOpener,
    /// Changes each time that a connection for commands is made, so that the others retry at once.
    pub(crate) reached: watch::Sender<()>,
    /// The primary that a Sentinel announced last.
    pub(crate) switched: watch::Sender<Option<Address>>,
}

/// The role that a server must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpectedRole {
    /// A standalone primary, or that of a Sentinel service.
    Primary,
    ClusterPrimary,
    /// A primary or a replica.
    ClusterNode,
    Sentinel,
}

/// See the module. Dropping it closes the socket, and fails the calls that wait for a reply.
pub(crate) struct CommandConnection {
    pub(crate) address: Address,
    multiplexed: MultiplexedConnection,
    driver: AbortHandle,
    ended: Arc<watch::Sender<bool>>,
    replies: AtomicU64,
}

impl Connector {
    /// # Errors
    ///
    /// `is_invalid` if a certificate or key cannot be used.
    pub(crate) fn new(config: &RedisConfig) -> tidecast::Result<Self> {
        let (config, opener) = (Arc::new(config.clone()), TransportOpener::new(config.tls.as_ref(), config.keepalive)?);
        Ok(Self { config, opener, reached: watch::Sender::new(()), switched: watch::Sender::new(None) })
    }

    /// Opens a transport within the connect time-out.
    pub(crate) async fn open(&self, address: &Address) -> Result<Transport, CallError> {
        match timeout(self.config.connect_timeout, self.opener.open(address)).await {
            Ok(opened) => opened.map_err(|error| CallError::unavailable(format!("{address}: {error}"))),
            Err(_) => Err(self.too_slow(address)),
        }
    }

    /// Connects for commands within the connect time-out.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        expected: ExpectedRole,
    ) -> Result<CommandConnection, CallError> {
        timeout(self.config.connect_timeout, Box::pin(self.handshake(address, expected)))
            .await
            .unwrap_or_else(|_| Err(self.too_slow(address)))
    }

    /// Returns the credentials for a server of a role.
    pub(crate) fn login(&self, expected: ExpectedRole) -> &Login {
        match (&self.config.deployment, expected) {
            (crate::config::Deployment::Sentinel { login, .. }, ExpectedRole::Sentinel) => login,
            _ => &self.config.login,
        }
    }

    async fn handshake(&self, address: &Address, expected: ExpectedRole) -> Result<CommandConnection, CallError> {
        let socket = self.open(address).await?;
        let info = self.info(expected);
        let (multiplexed, driver) = MultiplexedConnection::new_with_config(&info, socket, settings())
            .await
            .map_err(|error| reply::login_error(address, &error))?;
        let ended = Arc::new(watch::Sender::new(false));
        let driver = tokio::spawn({
            // Dropped as well if the runtime ends.
            let guard = DriverGuard(Arc::clone(&ended));
            async move {
                driver.await;
                drop(guard);
            }
        });
        let connection = CommandConnection {
            address: address.clone(),
            multiplexed,
            driver: driver.abort_handle(),
            ended,
            replies: AtomicU64::new(0),
        };
        let handshake_commands = handshake_commands(&self.config.client_name);
        let answers = connection.send_all(&handshake_commands, handshake_commands.len()).await;
        let answers = answers.map_err(|error| CallError::unavailable(format!("{address}: {error}")))?;
        verify_handshake(address, expected, &answers)?;
        Ok(connection)
    }

    fn info(&self, expected: ExpectedRole) -> RedisConnectionInfo {
        let login = self.login(expected);
        let protocol = if self.config.resp2 { ProtocolVersion::RESP2 } else { ProtocolVersion::RESP3 };
        let mut info =
            RedisConnectionInfo::default().set_protocol(protocol).set_lib_name("tidecast", env!("CARGO_PKG_VERSION"));
        // A Sentinel has no databases, and a Cluster only 0.
        if expected == ExpectedRole::Primary {
            info = info.set_db(self.config.db.into());
        }
        if let Some(username) = &login.username {
            info = info.set_username(username);
        }
        if let Some(password) = login.effective_password() {
            info = info.set_password(password);
        }
        info
    }

    fn too_slow(&self, address: &Address) -> CallError {
        CallError::unavailable(format!("{address}: no connection within {:?}", self.config.connect_timeout))
    }
}

impl CommandConnection {
    /// Sends a command. An error reply is `Ok` with a [`Value::ServerError`].
    ///
    /// # Cancel safety
    ///
    /// A command whose future is dropped may still be executed. Its reply is discarded.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.until_ended(self.multiplexed.clone().send_packed_command(command)).await
    }

    /// Sends a pipeline. Returns one reply for each command, or the error that lost all of them.
    pub(crate) async fn send_all(&self, commands: &Pipeline, count: usize) -> RedisResult<Vec<Value>> {
        self.until_ended(self.multiplexed.clone().send_packed_commands(commands, 0, count)).await
    }

    pub(crate) fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Returns the number of replies received so far.
    pub(crate) fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Closes the socket. Calls that wait for a reply fail.
    pub(crate) fn close(&self) {
        self.ended.send_replace(true);
        self.driver.abort();
    }

    /// Waits for a reply or the end of the connection: a command that is queued just as the driver ends is never answered.
    async fn until_ended<T>(&self, reply: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let mut ended = self.ended.subscribe();
        let (reply, ended) = (pin!(reply), pin!(ended.wait_for(|ended| *ended)));
        let reply = match select(reply, ended).await {
            Either::Left((reply, _)) => reply,
            // The reply may have come in between.
            Either::Right((_, reply)) => {
                reply.now_or_never().unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::BrokenPipe).into()))
            }
        }?;
        self.replies.fetch_add(1, Ordering::Relaxed);
        Ok(reply)
    }
}

impl Drop for CommandConnection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Marks the connection as ended when it is dropped.
struct DriverGuard(Arc<watch::Sender<bool>>);

impl Drop for DriverGuard {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl fmt::Debug for CommandConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).field("alive", &self.is_alive()).finish()
    }
}

/// Returns the commands sent on every new connection: they set its name and read the server's role.
pub(crate) fn handshake_commands(client_name: &str) -> Pipeline {
    let mut handshake_commands = redis::pipe();
    handshake_commands.cmd("CLIENT").arg("SETNAME").arg(client_name);
    handshake_commands.cmd("ROLE");
    handshake_commands.cmd("INFO").arg("cluster");
    handshake_commands
}

/// Checks that the replies to [`handshake_commands`] are those of the expected role.
///
/// A user or proxy may not be allowed to read the role. A wrong server then shows by a later reply.
pub(crate) fn verify_handshake(address: &Address, expected: ExpectedRole, answers: &[Value]) -> Result<(), CallError> {
    let [name, role, cluster] = answers else {
        return Err(CallError::Protocol(format!("{address} sent {} replies to three commands", answers.len())));
    };
    for answer in [name, role, cluster] {
        if let Value::ServerError(error) = answer
            && error.code() == "NOAUTH"
        {
            return Err(CallError::Rejected(reply::message(error)));
        }
    }
    let role = match role {
        Value::Array(items) => items.first().and_then(reply::text).unwrap_or_default(),
        _ => String::new(),
    };
    match (role.as_str(), expected) {
        ("slave", ExpectedRole::Primary | ExpectedRole::ClusterPrimary) => {
            return Err(CallError::unavailable(format!("{address} is a replica")));
        }
        ("sentinel", ExpectedRole::Primary | ExpectedRole::ClusterPrimary | ExpectedRole::ClusterNode) => {
            return Err(CallError::Rejected(format!("{address} is a Sentinel: use redis+sentinel://")));
        }
        ("master" | "slave", ExpectedRole::Sentinel) => {
            return Err(CallError::Rejected(format!(
                "{address} is not a Sentinel: list Sentinels in the URL, or use redis://"
            )));
        }
        _ => {}
    }
    let cluster = reply::text(cluster).unwrap_or_default();
    match expected {
        ExpectedRole::Primary if cluster.contains("cluster_enabled:1") => {
            Err(CallError::Rejected(format!("{address} is a node of a Cluster: use redis+cluster://")))
        }
        ExpectedRole::ClusterPrimary | ExpectedRole::ClusterNode if cluster.contains("cluster_enabled:0") => {
            Err(CallError::Rejected(format!("{address} is not in a Cluster: use redis://")))
        }
        _ => Ok(()),
    }
}

/// Disables the time-outs of the redis crate: a call's deadline covers more than the reply.
fn settings() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(None::<Duration>)
        .set_connection_timeout(None::<Duration>)
        .set_pipeline_buffer_size(QUEUE_MAX)
}

/// The most commands queued for the driver, so that it writes many at once. More wait.
const QUEUE_MAX: usize = 256;
