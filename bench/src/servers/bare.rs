//! The bare writer, in one of its two modes.

use std::{path::Path, process::Command};

pub(super) fn command(program: &Path, mode: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(mode);
    command
}
