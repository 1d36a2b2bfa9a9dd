//! Where to listen so that nothing is missed.
//!
//! One place, or one for each primary of a Cluster whose channels are sharded. It makes the connections and keeps none;
//! the listener does, and asks again when one has ended.

use std::sync::Arc;

use redis::PushInfo;
use tokio::time::timeout;

use super::{Commands, router::Reach};
use crate::{
    error::Failure,
    pubsub::connection::{ListenConnection, OnPush},
    socket::Address,
    topology::{Place, cluster::slot},
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
    pub(crate) async fn listen_targets(&self, sharded: bool) -> Result<Vec<ListenTarget>, Failure> {
        let cluster = match &self.route.servers {
            Reach::One { .. } => return Ok(vec![ListenTarget { address: None }]),
            Reach::Cluster { cluster, .. } => cluster,
        };
        let deadline = self.deadline();
        // A listener that asks has lost a connection, or begins.
        self.route.refresh(deadline).await?;
        let count = if sharded { usize::MAX } else { 1 };
        let nodes = cluster.in_turn(&cluster.map()).into_iter().take(count);
        Ok(nodes.map(|address| ListenTarget { address: Some(address) }).collect())
    }

    /// The target that a sharded channel belongs to as far as is known now: `None` if no primary has its slot.
    pub(crate) fn target_of(&self, channel: &[u8]) -> Option<ListenTarget> {
        match &self.route.servers {
            Reach::One { .. } => Some(ListenTarget { address: None }),
            Reach::Cluster { cluster, .. } => {
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
    ) -> Result<ListenConnection, Failure> {
        let place = match (&self.route.servers, &target.address) {
            (_, Some(address)) => Place::ClusterNode(address.clone()),
            (Reach::One { place, .. }, None) => place.clone(),
            (Reach::Cluster { .. }, None) => {
                return Err(Failure::Broken("a target of another configuration".to_owned()));
            }
        };
        let connector = &self.route.connector;
        // Shared, as a Sentinel may name one node after the other to connect to.
        let on_push: OnPush = Arc::new(on_push);
        let time = connector.config.connect_timeout;
        let opened = timeout(
            time,
            Box::pin(place.connect(connector, |address, expected| {
                let on_push = Arc::clone(&on_push);
                async move { ListenConnection::open(connector, &address, expected, on_push).await }
            })),
        );
        opened.await.unwrap_or_else(|_| Err(Failure::not_done(format!("no connection within {time:?}"))))
    }
}
