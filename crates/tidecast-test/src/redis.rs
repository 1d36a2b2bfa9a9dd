//! Real Redis servers: one alone, watched by Sentinels, or in a Cluster.

pub mod cluster;
pub mod sentinel;
pub mod server;
