#![doc = include_str!("../README.md")]

mod broker;
mod codec;
mod config;
mod keys;
mod metrics;
mod receipt;
mod replication_ids;
mod scripts;
mod stats;
mod write_error;

mod address;
mod backoff;
mod command_connection;
mod commands;
mod connector;
mod error;
mod handshake;
mod reply;
mod tls;
mod topology;
mod transport;

mod log_throttle;
mod pubsub;
mod supervise;

/// The check of the codec's fuzz target.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use crate::codec::fuzzing::codec as fuzz_codec;
pub use crate::{
    broker::RedisBroker,
    config::{PlainFormat, RedisConfig},
    stats::RedisStats,
};
