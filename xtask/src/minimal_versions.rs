//! Builds the workspace with the oldest versions that the manifests allow.
//!
//! A manifest that says `1.2` and needs a feature of 1.4 builds here, where the lock file has the newest version, and
//! fails for a user whose lock file has 1.2.

use std::fs;

use anyhow::{Context, Result};
use xshell::cmd;

use crate::{report::Outcome, workspace::Workspace};

/// Checks a copy of the workspace whose lock file has the oldest allowed version of each direct dependency.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let folder = workspace.target.join("minimal-versions");
    let copy = folder.join("workspace");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let files = cmd!(workspace.shell, "git ls-files -z --cached --others --exclude-standard").quiet().read()?;
    // Git also lists a file that is deleted and not yet committed.
    for file in files.split_terminator('\0').filter(|file| *file != "Cargo.lock" && workspace.has(file)) {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::copy(workspace.root.join(file), to).with_context(|| format!("failed to copy {file}"))?;
    }
    let _there = workspace.shell.push_dir(&copy);
    // For this command only, as build scripts would take the compiler for a nightly one.
    workspace.cargo(["update", "-Z", "direct-minimal-versions"]).env("RUSTC_BOOTSTRAP", "1").run()?;
    let check = workspace.cargo(["check", "--workspace", "--all-targets", "--all-features", "--locked"]);
    check.arg("--target-dir").arg(folder.join("target")).run()?;
    Ok(Outcome::Passed)
}
