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

/// The parts that the Tidecast hub needs. They may change in any release.
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        connection::handler::{EarlyProtocol, ReadAhead},
        listener::{
            activity::Activity,
            socket::{RawSocket, Socket},
        },
        log_limit::LogLimit,
        server::serve_connection,
    };
}

pub use crate::{
    connection::handler::{ConnectionInfo, Handler},
    counters::ConnectionCounters,
    listener::{bind, shutdown::signals, workers::runtime},
    options::ServeOptions,
    origin::{ConnectionOrigin, client_network},
    server::Server,
    supervise::{SupervisedTask, Supervisor},
};
