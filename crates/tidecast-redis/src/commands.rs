//! Commands and scripts, sent to the node that they belong to: pipelined, within a deadline, never twice.
//!
//! One multiplexed connection a node, made when it is first needed. Nothing here knows what the commands mean, and
//! nothing subscribes: that is `listen_connection`. The broker calls it.

use crate::{RedisConfig, failure::Failure, listen_connection::ListenConnection, scripts::Call};

/// See the module. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Commands {}

impl Commands {
    /// Reads the certificates that the configuration names; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// `is_invalid` where a file can't be read or has no certificate.
    pub(crate) fn new(config: &RedisConfig) -> tidecast::Result<Self> {
        let _ = config;
        unimplemented!()
    }

    /// Runs one script: `EVALSHA`, and `EVAL` with its source where the server does not know it yet.
    pub(crate) async fn call(&self, call: Call) -> Result<redis::Value, Failure> {
        let _ = call;
        unimplemented!()
    }

    /// Runs many, pipelined; those of one key are run in their order. The answers are in the order of the calls.
    pub(crate) async fn call_all(&self, calls: Vec<Call>) -> Vec<Result<redis::Value, Failure>> {
        let _ = calls;
        unimplemented!()
    }

    /// Sends one command to the node of the key, or to any primary where there is none.
    pub(crate) async fn command(
        &self,
        key: Option<&str>,
        command: redis::Cmd,
        repeatable: bool,
    ) -> Result<redis::Value, Failure> {
        let _ = (key, command, repeatable);
        unimplemented!()
    }

    /// Whether Redis answers, and is a primary; in a Cluster, whether every primary does.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        unimplemented!()
    }

    /// Where to listen so that nothing is missed: one target, or one a primary where channels are sharded.
    ///
    /// Without sharding, a Cluster's answer is another primary at each call, so that a retry does not insist on one.
    pub(crate) async fn listen_targets(&self, sharded: bool) -> Result<Vec<ListenTarget>, Failure> {
        let _ = sharded;
        unimplemented!()
    }

    /// The target that a sharded channel belongs to as far as is known now: `None` if no primary has its slot.
    pub(crate) fn target_of(&self, channel: &[u8]) -> Option<ListenTarget> {
        let _ = channel;
        unimplemented!()
    }

    /// Connects to the target, to listen there. `on_push` runs in the task that reads the socket: it must not block.
    pub(crate) async fn listen(
        &self,
        target: &ListenTarget,
        on_push: impl Fn(redis::PushInfo) + Send + Sync + 'static,
    ) -> Result<ListenConnection, Failure> {
        let _ = (target, on_push);
        unimplemented!()
    }
}

/// A node to listen at. Two are equal if they are the same node, whatever slots it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListenTarget {
    /// The node; `None` is the one primary of a standalone server or of a Sentinel's service, wherever it is.
    pub(crate) address: Option<crate::socket::Address>,
}
