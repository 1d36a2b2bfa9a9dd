//! Server-sent events on Redis: any number of hubs and processes on one Redis behave as one.

// Until the broker is here, which uses them.
#![allow(dead_code, unused_imports)]

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

// The tests of what is not public start real servers too.
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/it/rig/cluster.rs"]
mod cluster;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../tests/it/rig/server.rs"]
mod server;

pub use crate::config::{PlainFormat, RedisConfig};
