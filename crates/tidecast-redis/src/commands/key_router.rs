//! Routes a key to its node: the only one, or one of a Cluster's nodes.
//!
//! A Cluster's nodes are created when they are first needed, and dropped when they are no longer among its primaries.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::node::RedisNode;
use crate::{
    address::Address,
    config::Deployment,
    connector::Connector,
    error::CallError,
    topology::{
        Endpoint,
        cluster::ClusterTopology,
        sentinel::Sentinels,
        slot_map::{SlotMap, slot},
    },
};

/// The nodes of a deployment, by key.
#[derive(Debug)]
pub(super) struct KeyRouter {
    pub(super) connector: Connector,
    pub(super) nodes: NodeSet,
}

#[derive(Debug)]
pub(super) enum NodeSet {
    Single { node: Arc<RedisNode>, endpoint: Endpoint },
    Cluster { cluster: Arc<ClusterTopology>, nodes: Mutex<HashMap<Address, Arc<RedisNode>>> },
}

impl KeyRouter {
    pub(super) fn new(connector: Connector) -> Self {
        let endpoint = match &connector.config.deployment {
            Deployment::Standalone(address) => Endpoint::Standalone(address.clone()),
            Deployment::Sentinel { sentinels, service, .. } => {
                Endpoint::Sentinel(Arc::new(Sentinels::new(sentinels.clone(), service.clone())))
            }
            Deployment::Cluster { seeds } => {
                let cluster = Arc::new(ClusterTopology::new(seeds.clone()));
                return Self { connector, nodes: NodeSet::Cluster { cluster, nodes: Mutex::default() } };
            }
        };
        let node = Arc::new(RedisNode::new(endpoint.clone(), connector.clone()));
        Self { connector, nodes: NodeSet::Single { node, endpoint } }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.nodes, NodeSet::Cluster { .. })
    }

    /// Returns the node of a key, or any node without one.
    pub(super) async fn node_of(&self, key: Option<&str>, deadline: Instant) -> Result<Arc<RedisNode>, CallError> {
        let cluster = match &self.nodes {
            NodeSet::Single { node, .. } => return Ok(Arc::clone(node)),
            NodeSet::Cluster { cluster, .. } => cluster,
        };
        let map = within(deadline, cluster.map_or_fetch(&self.connector)).await?;
        let address = match key {
            Some(key) => map.primary_of(slot(key.as_bytes())).cloned(),
            None => cluster.rotated_primaries(&map).into_iter().next(),
        };
        address.map(|address| self.node_at(&address)).ok_or_else(|| CallError::unavailable("no primary has the slot"))
    }

    /// Returns a Cluster's node by its address, or the only node outside of a Cluster.
    pub(super) fn node_at(&self, address: &Address) -> Arc<RedisNode> {
        match &self.nodes {
            NodeSet::Single { node, .. } => Arc::clone(node),
            NodeSet::Cluster { nodes, .. } => {
                let make = || Arc::new(RedisNode::new(Endpoint::ClusterNode(address.clone()), self.connector.clone()));
                Arc::clone(nodes.lock().entry(address.clone()).or_insert_with(make))
            }
        }
    }

    /// Records that a slot has moved. Returns whether this is a Cluster.
    pub(super) fn moved(&self, slot: u16, primary: &Address) -> bool {
        let NodeSet::Cluster { cluster, .. } = &self.nodes else { return false };
        cluster.moved(slot, primary);
        cluster.refresh_in_background(&self.connector);
        true
    }

    /// Fetches the primaries of a Cluster. Outside of a Cluster, only a connect finds the primary.
    pub(super) async fn refresh(&self, deadline: Instant) -> Result<(), CallError> {
        let NodeSet::Cluster { cluster, nodes } = &self.nodes else { return Ok(()) };
        let map = within(deadline, cluster.refresh(&self.connector)).await?;
        forget_others(&map, &mut nodes.lock());
        Ok(())
    }

    pub(super) fn refresh_in_background(&self) {
        if let NodeSet::Cluster { cluster, .. } = &self.nodes {
            cluster.refresh_in_background(&self.connector);
        }
    }
}

/// Drops nodes that are no longer primaries. Their calls in flight keep them until they end.
fn forget_others(map: &SlotMap, nodes: &mut HashMap<Address, Arc<RedisNode>>) {
    nodes.retain(|address, _| map.primaries().contains(address));
}

async fn within<T>(deadline: Instant, work: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    // Boxed, because the future contains a whole connect.
    timeout_at(deadline, Box::pin(work))
        .await
        .unwrap_or_else(|_| Err(CallError::unavailable("no node of the Cluster sent its slots in time")))
}
