//! From a key to the node that it belongs to.
//!
//! One node, or a Cluster's nodes, each made when it is first needed and forgotten when the Cluster has it no more. What
//! is said there is `attempt`'s business; where the primaries are, `topology`'s.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::node::Node;
use crate::{
    config::Servers,
    connection::Connector,
    error::Failure,
    socket::Address,
    topology::{
        Place,
        cluster::{Cluster, SlotMap, slot},
        sentinel::Sentinels,
    },
};

/// See the module.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) connector: Connector,
    pub(super) servers: Reach,
}

#[derive(Debug)]
pub(super) enum Reach {
    One { node: Arc<Node>, place: Place },
    Cluster { cluster: Arc<Cluster>, nodes: Mutex<HashMap<Address, Arc<Node>>> },
}

impl Route {
    pub(super) fn new(connector: Connector) -> Self {
        let place = match &connector.config.servers {
            Servers::One(address) => Place::Server(address.clone()),
            Servers::Sentinel { sentinels, service, .. } => {
                Place::Service(Arc::new(Sentinels::new(sentinels.clone(), service.clone())))
            }
            Servers::Cluster { seeds } => {
                let cluster = Arc::new(Cluster::new(seeds.clone()));
                return Self { connector, servers: Reach::Cluster { cluster, nodes: Mutex::default() } };
            }
        };
        let node = Arc::new(Node::new(place.clone(), connector.clone()));
        Self { connector, servers: Reach::One { node, place } }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.servers, Reach::Cluster { .. })
    }

    /// The node of a key; without one, any.
    pub(super) async fn node_of(&self, key: Option<&str>, deadline: Instant) -> Result<Arc<Node>, Failure> {
        let cluster = match &self.servers {
            Reach::One { node, .. } => return Ok(Arc::clone(node)),
            Reach::Cluster { cluster, .. } => cluster,
        };
        let map = within(deadline, cluster.fetched_map(&self.connector)).await?;
        let address = match key {
            Some(key) => map.primary_of(slot(key.as_bytes())).cloned(),
            None => cluster.in_turn(&map).into_iter().next(),
        };
        address.map(|address| self.node_at(&address)).ok_or_else(|| Failure::not_done("no primary has the slot"))
    }

    /// A Cluster's node; the one node there is where there is no Cluster.
    pub(super) fn node_at(&self, address: &Address) -> Arc<Node> {
        match &self.servers {
            Reach::One { node, .. } => Arc::clone(node),
            Reach::Cluster { nodes, .. } => {
                let make = || Arc::new(Node::new(Place::ClusterNode(address.clone()), self.connector.clone()));
                Arc::clone(nodes.lock().entry(address.clone()).or_insert_with(make))
            }
        }
    }

    /// A node has said that the slot is elsewhere; false where there is no Cluster that could be so.
    pub(super) fn moved(&self, slot: u16, primary: &Address) -> bool {
        let Reach::Cluster { cluster, .. } = &self.servers else { return false };
        cluster.moved(slot, primary);
        cluster.refresh_in_background(&self.connector);
        true
    }

    /// Where are they now? Only a Cluster's nodes say it other than by being connected to.
    pub(super) async fn refresh(&self, deadline: Instant) -> Result<(), Failure> {
        let Reach::Cluster { cluster, nodes } = &self.servers else { return Ok(()) };
        let map = within(deadline, cluster.refresh(&self.connector)).await?;
        forget_others(&map, &mut nodes.lock());
        Ok(())
    }

    pub(super) fn refresh_in_background(&self) {
        if let Reach::Cluster { cluster, .. } = &self.servers {
            cluster.refresh_in_background(&self.connector);
        }
    }
}

/// A node with calls under way is kept by them until they have ended.
fn forget_others(map: &SlotMap, nodes: &mut HashMap<Address, Arc<Node>>) {
    nodes.retain(|address, _| map.primaries().contains(address));
}

async fn within<T>(deadline: Instant, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // On the heap: it holds a whole connect.
    timeout_at(deadline, Box::pin(work))
        .await
        .unwrap_or_else(|_| Err(Failure::not_done("no node of the Cluster has said in time which slots there are")))
}
