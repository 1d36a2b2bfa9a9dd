//! Where to listen so that nothing is missed.
//!
//! One place, or one for each primary of a Cluster whose channels are sharded. It makes the connections and keeps none;
//! the listener does, and asks again when one has ended.

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

/// A node to listen at. Two are equal if they are the same node, whatever slots it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListenTarget {
    /// `None` is the one primary of a server or of a Sentinel's service, wherever it is.
    address: Option<Address>,
}

impl Commands {
    /// One target, or one a primary where channels are sharded.
    ///
    /// Not sharded, a Cluster's answer is another primary at each call, so that a retry does not insist on one that is
    /// away: each of them hears all.
    pub(crate) async fn listen_targets(&self, sharded: bool) -> Result<Vec<ListenTarget>, CallError> {
        let cluster = match &self.router.nodes {
            NodeSet::Single { .. } => return Ok(vec![ListenTarget { address: None }]),
            NodeSet::Cluster { cluster, .. } => cluster,
        };
        let deadline = self.deadline();
        // A listener that asks has lost a connection, or begins.
        self.router.refresh(deadline).await?;
        let count = if sharded { usize::MAX } else { 1 };
        let nodes = cluster.rotated_primaries(&cluster.map()).into_iter().take(count);
        Ok(nodes.map(|address| ListenTarget { address: Some(address) }).collect())
    }

    /// The target that a sharded channel belongs to as far as is known now: `None` if no primary has its slot.
    pub(crate) fn target_of(&self, channel: &[u8]) -> Option<ListenTarget> {
        match &self.router.nodes {
            NodeSet::Single { .. } => Some(ListenTarget { address: None }),
            NodeSet::Cluster { cluster, .. } => {
                cluster.map().primary_of(slot(channel)).map(|address| ListenTarget { address: Some(address.clone()) })
            }
        }
    }

    /// Connects to the target, to listen there. `on_push` runs in the task that reads the socket: it must not block.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn listen(
        &self,
        target: &ListenTarget,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<PubSubConnection, CallError> {
        let endpoint = match (&self.router.nodes, &target.address) {
            (_, Some(address)) => Endpoint::ClusterNode(address.clone()),
            (NodeSet::Single { endpoint, .. }, None) => endpoint.clone(),
            (NodeSet::Cluster { .. }, None) => {
                return Err(CallError::Protocol("a target of another configuration".to_owned()));
            }
        };
        let connector = &self.router.connector;
        // Shared, as a Sentinel may name one node after the other to connect to.
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
