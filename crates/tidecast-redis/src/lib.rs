//! Server-sent events on Redis: any number of hubs and processes on one Redis behave as one.

// The files in the order in which an event meets them.
mod backoff;
mod broker;
mod codec;
mod commands;
mod config;
mod keys;
mod scripts;
mod topology;

pub use crate::{
    broker::{RedisBroker, RedisStats},
    config::{PlainFormat, RedisConfig},
};
