//! Makes connections: opens the transport, logs in, and checks the server's role.

use std::sync::Arc;

use redis::{ProtocolVersion, RedisConnectionInfo};
use tokio::{sync::watch, time::timeout};

use crate::{
    address::Address,
    command_connection::CommandConnection,
    config::{Deployment, Login, RedisConfig},
    error::CallError,
    handshake::{ExpectedRole, handshake_commands, verify_handshake},
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

impl Connector {
    /// Reads the certificates named by the configuration.
    ///
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
            Ok(opened) => opened.map_err(|error| CallError::at(address, error)),
            Err(_) => Err(self.timed_out(address)),
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
        timeout(self.config.connect_timeout, Box::pin(self.connect_and_verify(address, expected)))
            .await
            .unwrap_or_else(|_| Err(self.timed_out(address)))
    }

    /// Returns the credentials for a server of a role.
    pub(crate) fn login(&self, expected: ExpectedRole) -> &Login {
        match (&self.config.deployment, expected) {
            (Deployment::Sentinel { login, .. }, ExpectedRole::Sentinel) => login,
            _ => &self.config.login,
        }
    }

    async fn connect_and_verify(
        &self,
        address: &Address,
        expected: ExpectedRole,
    ) -> Result<CommandConnection, CallError> {
        let transport = self.open(address).await?;
        let connection = CommandConnection::log_in(address.clone(), transport, &self.login_info(expected)).await?;
        let commands = handshake_commands(&self.config.client_name);
        let replies = connection.send_all(&commands, commands.len()).await;
        let replies = replies.map_err(|error| CallError::at(address, error))?;
        verify_handshake(address, expected, &replies)?;
        Ok(connection)
    }

    fn login_info(&self, expected: ExpectedRole) -> RedisConnectionInfo {
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

    fn timed_out(&self, address: &Address) -> CallError {
        CallError::unavailable(format!("{address}: no connection within {:?}", self.config.connect_timeout))
    }
}
