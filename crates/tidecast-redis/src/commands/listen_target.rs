//! The nodes at which pub/sub workers have to listen to miss nothing: one, or with sharded channels every primary.

use std::sync::Arc;

use redis::PushInfo;
use tokio::time::timeout;

use super::{Commands, router::NodeSet};
use crate::{
    address::Address,
    error::CallError,
    pubsub::connection::{OnPush, PubSubConnection},
    topology::{Endpoint, cluster::slot},
};

/// A node to listen at, whatever slots it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListenTarget {
    /// `None` is a standalone server or the primary of a Sentinel service, wherever that is.
    address: Option<Address>,
}

impl Commands {
    /// Returns one target, or with sharded channels one for each primary.
    ///
    /// Without sharded channels every node of a Cluster receives everything. Each call returns another one, so that a
    /// retry avoids a node that is unavailable.
    pub(crate) async fn listen_targets(&self, sharded: bool) -> Result<Vec<ListenTarget>, CallError> {
        let cluster = match &self.router.nodes {
            NodeSet::Single { .. } => return Ok(vec![ListenTarget { address: None }]),
            NodeSet::Cluster { cluster, .. } => cluster,
        };
        let deadline = self.deadline();
        // A caller has lost a connection or just begins, so the map may be old.
        self.router.refresh(deadline).await?;
        let count = if sharded { usize::MAX } else { 1 };
        let nodes = cluster.rotated_primaries(&cluster.map()).into_iter().take(count);
        Ok(nodes.map(|address| ListenTarget { address: Some(address) }).collect())
    }

    /// Returns the target of a sharded channel, as far as is known; `None` if no primary has its slot.
    pub(crate) fn target_of(&self, channel: &[u8]) -> Option<ListenTarget> {
        match &self.router.nodes {
            NodeSet::Single { .. } => Some(ListenTarget { address: None }),
            NodeSet::Cluster { cluster, .. } => {
                cluster.map().primary_of(slot(channel)).map(|address| ListenTarget { address: Some(address.clone()) })
            }
        }
    }

    /// Connects to a target for pub/sub. `on_push` runs in the task that reads the socket, and must not block.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub(crate) async fn listen(
        &self,
        target: &ListenTarget,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<PubSubConnection, CallError> {
        let endpoint = match (&self.router.nodes, &target.address) {
            (_, Some(address)) => Endpoint::ClusterNode(address.clone()),
            (NodeSet::Single { endpoint, .. }, None) => endpoint.clone(),
            (NodeSet::Cluster { .. }, None) => {
                return Err(CallError::Protocol("the target is of another deployment".to_owned()));
            }
        };
        let connector = &self.router.connector;
        // Shared, because Sentinels may name one node after the other.
        let on_push: OnPush = Arc::new(on_push);
        let time = connector.config.connect_timeout;
        let opened = timeout(
            time,
            Box::pin(endpoint.connect(connector, |address, expected| {
                let on_push = Arc::clone(&on_push);
                async move { PubSubConnection::open(connector, &address, expected, on_push).await }
            })),
        );
        opened.await.unwrap_or_else(|_| Err(CallError::unavailable(format!("no connection within {time:?}"))))
    }
}
