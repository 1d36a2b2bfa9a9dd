//! Real Redis servers: one alone, watched by Sentinels, or in a Cluster.

mod cluster;
mod sentinel;
mod server;

pub use self::{
    cluster::RedisCluster,
    sentinel::{SERVICE, SentinelSet, freeze, thaw},
    server::RedisServer,
};
