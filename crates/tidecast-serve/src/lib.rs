#![doc = include_str!("../README.md")]

pub mod limits;

mod counters;
mod log_limit;
mod options;
mod origin;
mod supervise;

mod server;

mod connection;
mod listener;

mod detach;
#[cfg(target_os = "linux")]
mod reactor;
#[cfg(not(target_os = "linux"))]
#[path = "reactor/unsupported.rs"]
mod reactor;

pub use crate::{
    connection::handler::{ConnectionInfo, EarlyProtocol, Handler, ReadAhead},
    counters::ConnectionCounters,
    listener::{
        activity::Activity,
        bind,
        shutdown::signals,
        socket::{RawSocket, Socket},
        workers::runtime,
    },
    log_limit::LogLimit,
    options::ServeOptions,
    origin::{ConnectionOrigin, client_network},
    server::{Server, serve_connection},
    supervise::{SupervisedTask, Supervisor},
};
