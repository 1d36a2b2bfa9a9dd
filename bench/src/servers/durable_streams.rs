//! The server of the crate `durable-streams`, without a write-ahead log, since the hub keeps its events in memory too.
//!
//! An event is a message of a JSON stream. A channel is a stream, so that a connection reads one of them.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Server, configured::Start, dialect::Dialect};

pub(super) const ARGUMENTS: &str = "--durability memory";

pub(super) fn start(program: &Path) -> Result<Server> {
    let start = Start::new()?;
    let mut command = Command::new(program);
    command.args(ARGUMENTS.split(' ')).arg("--data-dir").arg(start.folder.join("data"));
    command.arg("--port").arg(start.address.port().to_string());
    start.run(command, Dialect::DurableStreams, 1)
}
