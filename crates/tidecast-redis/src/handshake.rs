//! The first commands on a connection, which check that the server has the expected role.

use redis::{Pipeline, Value};

use crate::{address::Address, error::CallError, reply};

/// The role that a server must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpectedRole {
    /// A standalone primary, or that of a Sentinel service.
    Primary,
    ClusterPrimary,
    /// A primary or a replica.
    ClusterNode,
    Sentinel,
}

/// Returns the commands sent on every new connection: they set its name and read the server's role.
pub(crate) fn handshake_commands(client_name: &str) -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("CLIENT").arg("SETNAME").arg(client_name);
    commands.cmd("ROLE");
    commands.cmd("INFO").arg("cluster");
    commands
}

/// Checks that the replies to [`handshake_commands`] are those of the expected role.
///
/// A user or proxy may not be allowed to read the role. A wrong server then shows by a later reply.
pub(crate) fn verify_handshake(address: &Address, expected: ExpectedRole, replies: &[Value]) -> Result<(), CallError> {
    let [name, role, cluster] = replies else {
        return Err(CallError::Protocol(format!("{address} sent {} replies to three commands", replies.len())));
    };
    for reply in [name, role, cluster] {
        if let Value::ServerError(error) = reply
            && error.code() == "NOAUTH"
        {
            return Err(CallError::Rejected(reply::message(error)));
        }
    }
    let role = reply::role(role).unwrap_or_default();
    match (role.as_str(), expected) {
        ("slave", ExpectedRole::Primary | ExpectedRole::ClusterPrimary) => {
            return Err(CallError::unavailable(format!("{address} is a replica")));
        }
        ("sentinel", ExpectedRole::Primary | ExpectedRole::ClusterPrimary | ExpectedRole::ClusterNode) => {
            return Err(CallError::Rejected(format!("{address} is a Sentinel: use redis+sentinel://")));
        }
        ("master" | "slave", ExpectedRole::Sentinel) => {
            return Err(CallError::Rejected(format!(
                "{address} is not a Sentinel: list Sentinels in the URL, or use redis://"
            )));
        }
        _ => {}
    }
    let cluster = reply::text(cluster).unwrap_or_default();
    match expected {
        ExpectedRole::Primary if cluster.contains("cluster_enabled:1") => {
            Err(CallError::Rejected(format!("{address} is a node of a Cluster: use redis+cluster://")))
        }
        ExpectedRole::ClusterPrimary | ExpectedRole::ClusterNode if cluster.contains("cluster_enabled:0") => {
            Err(CallError::Rejected(format!("{address} is not in a Cluster: use redis://")))
        }
        _ => Ok(()),
    }
}
