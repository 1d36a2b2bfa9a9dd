//! Finds the primaries of a deployment, at each connect again.

pub(crate) mod cluster;
pub(crate) mod sentinel;
pub(crate) mod slot_map;

use std::{future::Future, sync::Arc};

use self::sentinel::Sentinels;
use crate::{address::Address, connector::Connector, error::CallError, handshake::ExpectedRole};

/// A primary, by the way to find it.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// A server at a fixed address.
    Standalone(Address),
    /// The primary that the Sentinels name.
    Sentinel(Arc<Sentinels>),
    ClusterNode(Address),
}

impl Endpoint {
    /// Finds the primary and connects to it with `connect`. If the one that a Sentinel named fails, `connect` is called
    /// with what the next one names.
    pub(crate) async fn connect<T, F>(
        &self,
        connector: &Connector,
        connect: impl Fn(Address, ExpectedRole) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        match self {
            Self::Standalone(address) => connect(address.clone(), ExpectedRole::Primary).await,
            Self::ClusterNode(address) => connect(address.clone(), ExpectedRole::ClusterPrimary).await,
            Self::Sentinel(sentinels) => {
                sentinels.connect(connector, |node| connect(node, ExpectedRole::Primary)).await
            }
        }
    }
}
