//! What can't be done with less: one thread, epoll, and event streams. It is what the servers are compared with.
//!
//! `bare each` writes every event to every subscriber by a send of its own, as most servers do. `bare coalescing` keeps
//! one contiguous log a channel and a cursor a subscriber, looks for new publishes every 64 sends, and so sends what has
//! piled up at once. It has no ids, no history, no keep-alive and no limits, and believes that a request is well formed.

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
    let mode = match std::env::args().nth(1).context("`each` or `coalescing`?")?.as_str() {
        "each" => Mode::Each,
        "coalescing" => Mode::Coalescing,
        other => bail!("`{other}` is no mode: `each` or `coalescing`"),
    };
    let mut server = server::Server::bind(mode)?;
    println!("http://{}/", server.address()?);
    std::io::stdout().flush()?;
    server.serve()
}
