//! Sends commands and scripts to the node that has their key: pipelined, within a deadline, and never executed twice.
//!
//! Each node has one multiplexed connection, made when it is first needed. Pub/sub has connections of its own.

mod attempt;
mod batch;
mod key_router;
mod listen_target;
mod node;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tokio::{sync::watch, time::Instant};

use self::{
    attempt::{Attempts, await_reply},
    key_router::{KeyRouter, NodeSet},
    node::RedisNode,
    request::CommandRequest,
};
pub(crate) use self::{
    listen_target::ListenTarget,
    request::{Script, ScriptCall},
};
use crate::{
    address::Address,
    config::RedisConfig,
    connector::Connector,
    error::CallError,
    reply::{ReplyOutcome, role},
    topology::Endpoint,
};

/// A client of Redis. Cheap to clone: clones share their connections, which close with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    router: Arc<KeyRouter>,
}

impl Commands {
    /// Reads the certificates named by the configuration. Opens no connection yet.
    ///
    /// # Errors
    ///
    /// `is_invalid` if a certificate or key cannot be used.
    pub(crate) fn new(config: &RedisConfig) -> tidecast::Result<Self> {
        Ok(Self { router: Arc::new(KeyRouter::new(Connector::new(config)?)) })
    }

    /// Runs a script by `EVALSHA`, or by `EVAL` if the server does not know it.
    ///
    /// # Cancel safety
    ///
    /// A call whose future is dropped may still be executed. Other calls are not affected.
    pub(crate) async fn call(&self, call: ScriptCall<'_>) -> Result<Value, CallError> {
        let request = CommandRequest::Script(call);
        Attempts::new(&self.router, &request, self.deadline()).run().await
    }

    /// Runs scripts in a pipeline. The results are in the order of the calls.
    ///
    /// Calls with one key run in their order, except one that a server postponed because it is moving the slot. After a
    /// call that may or may not have been executed, later batches to the same node are not sent.
    ///
    /// # Cancel safety
    ///
    /// As for [`call`](Self::call).
    pub(crate) async fn call_all(&self, calls: Vec<ScriptCall<'_>>) -> Vec<Result<Value, CallError>> {
        let requests: Vec<_> = calls.into_iter().map(CommandRequest::Script).collect();
        batch::run(&self.router, &requests, self.deadline()).await
    }

    /// Sends a command to the node of the key, or without a key to any primary.
    ///
    /// The reply is one of RESP3, or with `protocol=2` one of RESP2, in which a map is an array.
    pub(crate) async fn command(&self, key: Option<&str>, command: Cmd, repeatable: bool) -> Result<Value, CallError> {
        let request = CommandRequest::Command { key, command, repeatable };
        Attempts::new(&self.router, &request, self.deadline()).run().await
    }

    /// Checks that Redis answers and is a primary; in a Cluster, that all primaries answer and every slot has one.
    pub(crate) async fn ping(&self) -> Result<(), CallError> {
        let deadline = self.deadline();
        let (cluster, map) = match &self.router.nodes {
            NodeSet::Single { node, .. } => return ping(node, deadline).await,
            NodeSet::Cluster { cluster, .. } => {
                self.router.node_of(None, deadline).await?;
                (cluster, cluster.map())
            }
        };
        let nodes: Vec<Arc<RedisNode>> = map.primaries().iter().map(|address| self.router.node_at(address)).collect();
        let pings = join_all(nodes.iter().map(|node| ping(node, deadline))).await;
        let all = pings.into_iter().collect::<Result<(), CallError>>();
        let all = all.and_then(|()| {
            if map.is_complete() { Ok(()) } else { Err(CallError::unavailable("some slots have no primary")) }
        });
        if all.is_err() {
            // A failed primary stays in the map until that is fetched again.
            cluster.refresh_in_background(&self.router.connector);
        }
        all
    }

    /// Returns a receiver that changes each time that a connection for commands is made.
    pub(crate) fn reached(&self) -> watch::Receiver<()> {
        self.router.connector.reached.subscribe()
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.router.connector
    }

    /// Moves the connections to the primary that a Sentinel announced.
    pub(crate) fn switch_to(&self, primary: &Address) {
        if let NodeSet::Single { node, endpoint: Endpoint::Sentinel(sentinels) } = &self.router.nodes {
            tracing::info!(%primary, "redis: the primary moves");
            sentinels.prefer(primary.clone());
            // First, because a connect under way compares it once it is done.
            self.router.connector.switched.send_replace(Some(primary.clone()));
            node.switch_to(primary);
        }
    }

    /// Lets the next call connect at once, because another connection has reached Redis.
    pub(crate) fn retry_now(&self) {
        match &self.router.nodes {
            NodeSet::Single { node, .. } => node.retry_now(),
            NodeSet::Cluster { nodes, .. } => nodes.lock().values().for_each(|node| node.retry_now()),
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.router.connector.config.command_timeout
    }
}

/// Sends `ROLE`, which costs as much as `PING` and also detects a primary that was demoted.
async fn ping(node: &Arc<RedisNode>, deadline: Instant) -> Result<(), CallError> {
    // The second attempt uses a new connection, which leads to the new primary if there is one.
    for _ in 0..2 {
        let connection = node.connection(deadline).await?;
        let reply = await_reply(node, &connection, deadline, connection.send(&redis::cmd("ROLE"))).await;
        match ReplyOutcome::from(reply.map_err(CallError::unavailable)?).into_result() {
            Ok(reply) if role(&reply).as_deref() == Some("slave") => node.drop_connection(&connection),
            Err(error @ CallError::Unavailable { .. }) => return Err(error),
            Err(CallError::Rejected(message)) if message.starts_with("NOAUTH") => {
                node.drop_connection(&connection);
                return Err(CallError::Rejected(message));
            }
            // Any other reply is an answer too: a user or proxy may not be allowed to read the role.
            _ => return Ok(()),
        }
    }
    Err(CallError::unavailable("the primary was demoted to a replica"))
}
