//! `cargo xtask setup`: whatever the tests need beside Rust, put where it may be put.
//!
//! What is there already is left alone, so a second run takes a second. What can't be installed from here is asked
//! for in one line at the end, after everything else is in place.

use std::fs;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::{environment, packages, tools, workspace::Workspace};

/// Where the tests in a real browser are.
pub(crate) const BROWSER_TESTS: &str = "tests/browser";

/// Where clients of other makers are tried.
pub(crate) const CLIENT_TESTS: &str = "tests/clients";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut problems = Vec::new();
    let steps = [
        rust_components,
        packages::install,
        tools::install_typos,
        environment::install,
        tools::install_cargo_deny,
        node_modules,
    ];
    for step in steps {
        if let Err(error) = step(workspace) {
            problems.push(format!("{error:#}"));
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }
    println!("setup: all there");
    Ok(())
}

/// `rustfmt` and `clippy`, which a minimal toolchain leaves out.
fn rust_components(workspace: &Workspace) -> Result<()> {
    if workspace.cargo(["fmt", "--version"]).quiet().ignore_stderr().read().is_ok()
        && workspace.cargo(["clippy", "--version"]).quiet().ignore_stderr().read().is_ok()
    {
        return Ok(());
    }
    Ok(cmd!(workspace.shell, "rustup component add rustfmt clippy").run()?)
}

/// The packages of the tests under Node, as their lock files have them.
fn node_modules(workspace: &Workspace) -> Result<()> {
    [BROWSER_TESTS, CLIENT_TESTS].iter().try_for_each(|folder| node_modules_of(workspace, folder))
}

fn node_modules_of(workspace: &Workspace, folder: &str) -> Result<()> {
    let folder = workspace.root.join(folder);
    let Ok(wanted) = fs::read(folder.join("package-lock.json")) else { return Ok(()) };
    // A copy of the lock file that was installed says more than a time of change, which a checkout sets anew.
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let _there = workspace.shell.push_dir(&folder);
    cmd!(workspace.shell, "npm ci --no-audit --no-fund --no-update-notifier").run()?;
    fs::create_dir_all(folder.join("node_modules"))?;
    Ok(fs::write(installed, wanted)?)
}
