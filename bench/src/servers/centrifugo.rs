//! Centrifugo in memory, with its unidirectional event streams.
//!
//! With history it retains as much as the hub and gives every subscriber a position, as its documentation recommends for
//! recovery; without, it only distributes.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Server, configured::Start, dialect::Dialect};

pub(super) const WITH_HISTORY: &str = include_str!("../../peers/centrifugo.json");
pub(super) const LIVE: &str = include_str!("../../peers/centrifugo-live.json");

pub(super) fn start(program: &Path, configuration: &str) -> Result<Server> {
    let start = Start::new()?;
    let mut command = Command::new(program);
    command.arg("--config").arg(start.write("config.json", configuration)?);
    start.run(command, Dialect::Centrifugo, 1)
}
