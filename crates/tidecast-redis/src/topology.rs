//! Where the primary is, or the primaries are.
//!
//! A place says how one of them is found, at each connect anew; it keeps no connection. `commands` has one for each
//! node that it speaks to, and the listener's connections are made by one too.

pub(crate) mod cluster;
pub(crate) mod sentinel;

use std::{future::Future, sync::Arc};

use self::sentinel::Sentinels;
use crate::{
    address::Address,
    connection::{Connector, ExpectedRole},
    error::CallError,
};

/// How a primary is found.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// A server of its own.
    Standalone(Address),
    /// Whichever the Sentinels name.
    Sentinel(Arc<Sentinels>),
    ClusterNode(Address),
}

impl Endpoint {
    /// Finds the primary and connects to it with `connect`, which is asked again for another address where the one
    /// that a Sentinel named won't do.
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
