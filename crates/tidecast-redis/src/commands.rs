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
    attempt::{Attempts, watched},
    node::Node,
    request::Request,
    router::{Reach, Route},
};
pub(crate) use self::{
    listen_target::ListenTarget,
    request::{Call, Script},
};
use crate::{
    RedisConfig,
    connection::Connector,
    error::Failure,
    reply::{Verdict, text},
    socket::Address,
    topology::Place,
};

/// See the module. Cheap to clone; all clones share their connections, which close when the last is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    route: Arc<Route>,
}

impl Commands {
    /// Reads the certificates that the configuration names; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// `is_invalid` where a file can't be read or has no certificate.
    pub(crate) fn new(config: &RedisConfig) -> tidecast::Result<Self> {
        Ok(Self { route: Arc::new(Route::new(Connector::new(config)?)) })
    }

    /// Runs one script: `EVALSHA`, and `EVAL` with its source where the server does not know it yet.
    ///
    /// # Cancel safety
    ///
    /// A call whose future is dropped may be done all the same, or not; other calls don't notice.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Value, Failure> {
        let request = Request::Script(call);
        Attempts::new(&self.route, &request, self.deadline()).run().await
    }

    /// Runs many, pipelined. The answers are in the order of the calls.
    ///
    /// Those of one key are run in their order, except one that a server put off (it moves the slot just now). After
    /// one that may or may not have been done, those that follow it on the same node by far are not tried.
    ///
    /// # Cancel safety
    ///
    /// As for [`call`](Self::call).
    pub(crate) async fn call_all(&self, calls: Vec<Call<'_>>) -> Vec<Result<Value, Failure>> {
        let requests: Vec<_> = calls.into_iter().map(Request::Script).collect();
        batch::run(&self.route, &requests, self.deadline()).await
    }

    /// Sends one command to the node of the key, or to any primary where there is none.
    ///
    /// Replies are those of RESP3, or with `protocol=2` of RESP2: a map may be an array.
    pub(crate) async fn command(&self, key: Option<&str>, command: Cmd, repeatable: bool) -> Result<Value, Failure> {
        let request = Request::Command { key, command, repeatable };
        Attempts::new(&self.route, &request, self.deadline()).run().await
    }

    /// Whether Redis answers, and is a primary; in a Cluster, whether every primary does and every slot has one.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let deadline = self.deadline();
        let (cluster, map) = match &self.route.servers {
            Reach::One { node, .. } => return ping(node, deadline).await,
            Reach::Cluster { cluster, .. } => {
                self.route.node_of(None, deadline).await?;
                (cluster, cluster.map())
            }
        };
        let nodes: Vec<Arc<Node>> = map.primaries().iter().map(|address| self.route.node_at(address)).collect();
        let pings = join_all(nodes.iter().map(|node| ping(node, deadline))).await;
        let all = pings.into_iter().collect::<Result<(), Failure>>();
        let all =
            all.and_then(|()| if map.is_whole() { Ok(()) } else { Err(Failure::not_done("slots without a primary")) });
        if all.is_err() {
            // One that has failed is in the map until another is asked.
            cluster.refresh_in_background(&self.route.connector);
        }
        all
    }

    /// Returns what changes each time that Redis is reached for commands.
    pub(crate) fn reached(&self) -> watch::Receiver<()> {
        self.route.connector.reached.subscribe()
    }

    /// How connections are made.
    pub(crate) fn connector(&self) -> &Connector {
        &self.route.connector
    }

    /// Has connections move to the primary that a Sentinel has told of.
    pub(crate) fn switch_to(&self, primary: &Address) {
        if let Reach::One { node, place: Place::Service(sentinels) } = &self.route.servers {
            tracing::info!(%primary, "redis: the primary has moved");
            sentinels.prefer(primary.clone());
            // First what a connect that is under way looks at when it has come about.
            self.route.connector.switched.send_replace(Some(primary.clone()));
            node.leave_for(primary);
        }
    }

    /// Lets the next call try to connect at once: Redis was reached by another connection.
    pub(crate) fn retry_now(&self) {
        match &self.route.servers {
            Reach::One { node, .. } => node.retry_now(),
            Reach::Cluster { nodes, .. } => nodes.lock().values().for_each(|node| node.retry_now()),
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.route.connector.config.command_timeout
    }
}

/// `ROLE` costs what a `PING` does, and also finds a primary that has been made a replica.
async fn ping(node: &Arc<Node>, deadline: Instant) -> Result<(), Failure> {
    // The second time on a new connection, which leads elsewhere if the primary is elsewhere.
    for _ in 0..2 {
        let connection = node.connection(deadline).await?;
        let role = watched(node, &connection, deadline, connection.send(&redis::cmd("ROLE"))).await;
        match Verdict::from(role.map_err(Failure::not_done)?) {
            Verdict::Done(Value::Array(role)) if role.first().and_then(text).as_deref() == Some("slave") => {
                node.drop_connection(&connection);
            }
            Verdict::Later(words) | Verdict::Demoted(words) => return Err(Failure::not_done(words)),
            Verdict::Refused(words) if words.starts_with("NOAUTH") => {
                node.drop_connection(&connection);
                return Err(Failure::Refused(words));
            }
            // Whatever else it says, it answers: a user or a proxy may not be let ask.
            _ => return Ok(()),
        }
    }
    Err(Failure::not_done("the primary is a replica now"))
}
