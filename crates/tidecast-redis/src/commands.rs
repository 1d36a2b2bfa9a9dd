//! Commands and scripts, sent to the node that they belong to: pipelined, within a deadline, never twice.
//!
//! One multiplexed connection a node, made when it is first needed. Nothing here knows what the commands mean, and
//! nothing subscribes: that is `listen_connection`. The broker calls it.

mod attempt;
mod batch;
mod listen_target;
mod node;
mod request;
mod router;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tokio::{sync::watch, time::Instant};

use self::{
    attempt::{Attempts, await_reply},
    node::RedisNode,
    request::Request,
    router::{NodeSet, Router},
};
pub(crate) use self::{
    listen_target::ListenTarget,
    request::{Script, ScriptCall},
};
use crate::{
    RedisConfig,
    address::Address,
    connection::Connector,
    error::CallError,
    reply::{ReplyOutcome, text},
    topology::Endpoint,
};

/// See the module. Cheap to clone; all clones share their connections, which close when the last is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    router: Arc<Router>,
}

impl Commands {
    /// Reads the certificates that the configuration names; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// `is_invalid` where a file can't be read or has no certificate.
    pub(crate) fn new(config: &RedisConfig) -> tidecast::Result<Self> {
        Ok(Self { router: Arc::new(Router::new(Connector::new(config)?)) })
    }

    /// Runs one script: `EVALSHA`, and `EVAL` with its source where the server does not know it yet.
    ///
    /// # Cancel safety
    ///
    /// A call whose future is dropped may be done all the same, or not; other calls don't notice.
    pub(crate) async fn call(&self, call: ScriptCall<'_>) -> Result<Value, CallError> {
        let request = Request::Script(call);
        Attempts::new(&self.router, &request, self.deadline()).run().await
    }

    /// Runs many, pipelined. The answers are in the order of the calls.
    ///
    /// Those of one key are run in their order, except one that a server put off (it moves the slot just now). After
    /// one that may or may not have been done, those that follow it on the same node by far are not tried.
    ///
    /// # Cancel safety
    ///
    /// As for [`call`](Self::call).
    pub(crate) async fn call_all(&self, calls: Vec<ScriptCall<'_>>) -> Vec<Result<Value, CallError>> {
        let requests: Vec<_> = calls.into_iter().map(Request::Script).collect();
        batch::run(&self.router, &requests, self.deadline()).await
    }

    /// Sends one command to the node of the key, or to any primary where there is none.
    ///
    /// Replies are those of RESP3, or with `protocol=2` of RESP2: a map may be an array.
    pub(crate) async fn command(&self, key: Option<&str>, command: Cmd, repeatable: bool) -> Result<Value, CallError> {
        let request = Request::Command { key, command, repeatable };
        Attempts::new(&self.router, &request, self.deadline()).run().await
    }

    /// Whether Redis answers, and is a primary; in a Cluster, whether every primary does and every slot has one.
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
            if map.is_complete() { Ok(()) } else { Err(CallError::unavailable("slots without a primary")) }
        });
        if all.is_err() {
            // One that has failed is in the map until another is asked.
            cluster.refresh_in_background(&self.router.connector);
        }
        all
    }

    /// Returns what changes each time that Redis is reached for commands.
    pub(crate) fn reached(&self) -> watch::Receiver<()> {
        self.router.connector.reached.subscribe()
    }

    /// How connections are made.
    pub(crate) fn connector(&self) -> &Connector {
        &self.router.connector
    }

    /// Has connections move to the primary that a Sentinel has told of.
    pub(crate) fn switch_to(&self, primary: &Address) {
        if let NodeSet::Single { node, endpoint: Endpoint::Sentinel(sentinels) } = &self.router.nodes {
            tracing::info!(%primary, "redis: the primary has moved");
            sentinels.prefer(primary.clone());
            // First what a connect that is under way looks at when it has come about.
            self.router.connector.switched.send_replace(Some(primary.clone()));
            node.switch_to(primary);
        }
    }

    /// Lets the next call try to connect at once: Redis was reached by another connection.
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

/// `ROLE` costs what a `PING` does, and also finds a primary that has been made a replica.
async fn ping(node: &Arc<RedisNode>, deadline: Instant) -> Result<(), CallError> {
    // The second time on a new connection, which leads elsewhere if the primary is elsewhere.
    for _ in 0..2 {
        let connection = node.connection(deadline).await?;
        let role = await_reply(node, &connection, deadline, connection.send(&redis::cmd("ROLE"))).await;
        match ReplyOutcome::from(role.map_err(CallError::unavailable)?) {
            ReplyOutcome::Value(Value::Array(role)) if role.first().and_then(text).as_deref() == Some("slave") => {
                node.drop_connection(&connection);
            }
            ReplyOutcome::Unavailable(message) | ReplyOutcome::NotPrimary(message) => {
                return Err(CallError::unavailable(message));
            }
            ReplyOutcome::Rejected(message) if message.starts_with("NOAUTH") => {
                node.drop_connection(&connection);
                return Err(CallError::Rejected(message));
            }
            // Whatever else it says, it answers: a user or a proxy may not be let ask.
            _ => return Ok(()),
        }
    }
    Err(CallError::unavailable("the primary is a replica now"))
}
