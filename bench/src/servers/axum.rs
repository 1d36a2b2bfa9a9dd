//! The hub by hand, which has nothing to set.

use std::{path::Path, process::Command};

pub(super) fn command(program: &Path) -> Command {
    Command::new(program)
}
