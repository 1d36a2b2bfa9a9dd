//! Server-sent events on Redis: any number of hubs and processes on one Redis behave as one.
//!
//! [`RedisBroker`] keeps the contract of [`tidecast::broker::Broker`]; [`RedisConfig`] says which Redis, and what to keep
//! there. Programs that publish or listen as Flask-SSE does take part.

// The files in the order in which an event meets them: published, sent, kept, heard, delivered.
mod config;

mod answer;
mod broker;
mod codec;
mod keys;
mod scripts;
mod shared;

mod backoff;
mod commands;
mod failure;
mod socket;
mod topology;

mod compare;
mod ear;
mod filling;
mod heard;
mod listen_connection;
mod listener;

mod stats;

pub use crate::{
    broker::RedisBroker,
    config::{PlainFormat, RedisConfig},
    stats::RedisStats,
};
