//! Where the primary is, or the primaries are.
//!
//! A place says how one of them is found, at each connect anew; it keeps no connection. `commands` has one for each
//! node that it speaks to, and the listener's connections are made by one too.

pub(crate) mod cluster;
pub(crate) mod sentinel;

use std::{future::Future, sync::Arc};

use self::sentinel::Sentinels;
use crate::{
    connection::{Connector, Expected},
    error::Failure,
    socket::Address,
};

/// How a primary is found.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A server of its own.
    Server(Address),
    /// Whichever the Sentinels name.
    Service(Arc<Sentinels>),
    ClusterNode(Address),
}

impl Place {
    /// Finds the primary and connects to it with `connect`, which is asked again for another address where the one
    /// that a Sentinel named won't do.
    pub(crate) async fn connect<T, F>(
        &self,
        connector: &Connector,
        connect: impl Fn(Address, Expected) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        match self {
            Self::Server(address) => connect(address.clone(), Expected::Primary).await,
            Self::ClusterNode(address) => connect(address.clone(), Expected::ClusterPrimary).await,
            Self::Service(sentinels) => sentinels.connect(connector, |node| connect(node, Expected::Primary)).await,
        }
    }
}
