//! The hub written by hand, which has no settings.

use std::{path::Path, process::Command};

pub(super) fn command(program: &Path) -> Command {
    Command::new(program)
}
