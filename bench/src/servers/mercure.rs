//! A Mercure hub: official builds from 0.16 on, which read this configuration and these requests.
//!
//! With history it writes to a file, which is its default, and retains as much as the hub; without, its local transport
//! only distributes.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Server, configured::Start, dialect::Dialect};

pub(super) const WITH_HISTORY: &str = include_str!("../../peers/mercure.caddyfile");
pub(super) const LIVE: &str = include_str!("../../peers/mercure-live.caddyfile");

pub(super) fn start(program: &Path, configuration: &str) -> Result<Server> {
    let start = Start::new()?;
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(start.write("Caddyfile", configuration)?);
    start.run(command, Dialect::Mercure, 1)
}
