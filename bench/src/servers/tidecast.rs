//! The hub with its default settings, in memory.

use std::{path::Path, process::Command};

pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    // Without a Redis, also if this machine has one for other programs.
    for name in ["TIDECAST_REDIS", "SSE_REDIS_URL", "REDIS_URL"] {
        command.env_remove(name);
    }
    for part in ["HOST", "PORT", "DB"] {
        command.env_remove(format!("SSE_REDIS_{part}"));
    }
    command
}
