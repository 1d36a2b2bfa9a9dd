#![doc = include_str!("../README.md")]

// The files in the order in which an event meets them: published, sent, kept, heard, delivered.
mod config;

mod answer;
mod broker;
mod codec;
mod keys;
mod refusal;
mod scripts;
mod servers;
mod shared;
mod supervise;

mod backoff;
mod commands;
mod connection;
mod failure;
mod socket;
mod tls;
mod topology;

mod compare;
mod ear;
mod filling;
mod heard;
mod listen_connection;
mod listener;
mod queues;
mod repeats;
mod sentinel_watch;

mod stats;

// The tests of what is not public start real servers too.
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/it/rig/cluster.rs"]
mod cluster;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/it/rig/sentinel.rs"]
mod sentinel;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/it/rig/server.rs"]
mod server;

/// The check of the codec's fuzz target.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use crate::codec::fuzzing::codec as fuzz_codec;
pub use crate::{
    broker::RedisBroker,
    config::{PlainFormat, RedisConfig},
    stats::RedisStats,
};
