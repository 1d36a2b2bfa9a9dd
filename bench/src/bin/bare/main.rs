//! A minimal server of event streams in one thread with epoll, as a reference for the others.
//!
//! `bare each` writes every event to every subscriber with a separate send, as most servers do. `bare coalescing` keeps
//! a contiguous log for each channel and a cursor for each subscriber, checks for new publishes every 64 sends, and
//! sends a backlog at once. It has no ids, history, keep-alive or limits, and expects requests to be well formed.

mod channel;
mod connection;
mod request;
mod server;

use std::io::Write;

use anyhow::{Context, Result, bail};

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Each,
    Coalescing,
}

fn main() -> Result<()> {
    let mode = match std::env::args().nth(1).context("the argument must be `each` or `coalescing`")?.as_str() {
        "each" => Mode::Each,
        "coalescing" => Mode::Coalescing,
        other => bail!("unknown mode `{other}`; the modes are `each` and `coalescing`"),
    };
    let mut server = server::Server::bind(mode)?;
    println!("http://{}/", server.address()?);
    std::io::stdout().flush()?;
    server.serve()
}
