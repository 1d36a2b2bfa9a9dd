//! Server-sent events on Redis: any number of hubs and processes on one Redis behave as one.

// The files in the order in which an event meets them.
mod backoff;
mod codec;
mod commands;
mod config;
mod connection;
mod failure;
mod keys;
mod listen_connection;
mod scripts;
mod socket;
mod tls;
mod topology;

pub use crate::config::{PlainFormat, RedisConfig};
