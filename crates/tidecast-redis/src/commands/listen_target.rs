//! The nodes at which pub/sub workers have to listen to miss nothing: one, or with sharded channels every primary.

use super::{Commands, key_router::NodeSet};
use crate::{
    address::Address,
    config::ChannelKind,
    error::CallError,
    topology::{Endpoint, slot_map::slot},
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
    pub(crate) async fn listen_targets(&self, kind: ChannelKind) -> Result<Vec<ListenTarget>, CallError> {
        let cluster = match &self.router.nodes {
            NodeSet::Single { .. } => return Ok(vec![ListenTarget { address: None }]),
            NodeSet::Cluster { cluster, .. } => cluster,
        };
        let deadline = self.deadline();
        // A caller has lost a connection or just begins, so the map may be old.
        self.router.refresh(deadline).await?;
        let count = if kind == ChannelKind::Sharded { usize::MAX } else { 1 };
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

    /// Returns the endpoint of a target.
    pub(crate) fn endpoint_of(&self, target: &ListenTarget) -> Result<Endpoint, CallError> {
        match (&self.router.nodes, &target.address) {
            (_, Some(address)) => Ok(Endpoint::ClusterNode(address.clone())),
            (NodeSet::Single { endpoint, .. }, None) => Ok(endpoint.clone()),
            (NodeSet::Cluster { .. }, None) => {
                Err(CallError::Protocol("the target is of another deployment".to_owned()))
            }
        }
    }
}
