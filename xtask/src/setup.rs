//! `cargo xtask setup`: installs what the tests need beside Rust.
//!
//! A second run leaves everything as it is and takes a second. A line at the end names what this user may not install.

use std::fs;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::{
    environment, packages, tools,
    workspace::{BROWSER_TESTS, Workspace},
};

/// The folder of the third-party clients.
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

/// Installs `rustfmt` and `clippy`, which a minimal toolchain lacks.
fn rust_components(workspace: &Workspace) -> Result<()> {
    if workspace.cargo(["fmt", "--version"]).quiet().ignore_stderr().read().is_ok()
        && workspace.cargo(["clippy", "--version"]).quiet().ignore_stderr().read().is_ok()
    {
        return Ok(());
    }
    Ok(cmd!(workspace.shell, "rustup component add rustfmt clippy").run()?)
}

/// Installs the Node packages of the tests as their lock files state them.
fn node_modules(workspace: &Workspace) -> Result<()> {
    [BROWSER_TESTS, CLIENT_TESTS].iter().try_for_each(|folder| node_modules_of(workspace, folder))
}

fn node_modules_of(workspace: &Workspace, folder: &str) -> Result<()> {
    let folder = workspace.root.join(folder);
    let Ok(wanted) = fs::read(folder.join("package-lock.json")) else { return Ok(()) };
    // A copy of the installed lock file is compared, as a checkout changes file times.
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let _there = workspace.shell.push_dir(&folder);
    cmd!(workspace.shell, "npm ci --no-audit --no-fund --no-update-notifier").run()?;
    fs::create_dir_all(folder.join("node_modules"))?;
    Ok(fs::write(installed, wanted)?)
}
