//! Server-sent events on Redis: any number of hubs and processes on one Redis behave as one.

// The files in the order in which an event meets them.
mod backoff;
#[allow(dead_code, unused_imports, reason = "the broker and the listener come next")]
mod codec;
mod commands;
mod config;
#[allow(dead_code, reason = "the broker and the listener come next")]
mod keys;
#[allow(dead_code, unused_imports, reason = "the broker and the listener come next")]
mod scripts;
mod topology;

pub use crate::codec::PlainFormat;
