//! The tools `typos` and `cargo-deny`, in the versions stated here.
//!
//! They are installed in `tools/` in the target folder. A tool of the same version on `PATH` is used instead.

use std::{env::consts::EXE_SUFFIX, fs, path::PathBuf};

use anyhow::{Context, Result};
use xshell::cmd;

use crate::workspace::{Workspace, on_path};

const TYPOS: &str = "1.52.0";
const CARGO_DENY: &str = "0.20.2";

/// Returns the path of `typos`, if it is installed.
pub(crate) fn typos(workspace: &Workspace) -> Option<PathBuf> {
    let scripts = if cfg!(windows) { "Scripts" } else { "bin" };
    find(workspace, "typos", &format!("typos-cli {TYPOS}"), &format!("venv/{scripts}"))
}

/// Returns the path of `cargo-deny`, if it is installed.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Option<PathBuf> {
    find(workspace, "cargo-deny", &format!("cargo-deny {CARGO_DENY}"), "bin")
}

fn find(workspace: &Workspace, name: &str, version: &str, folder: &str) -> Option<PathBuf> {
    let own = workspace.tools().join(folder).join(format!("{name}{EXE_SUFFIX}"));
    [Some(own), on_path(&[name])]
        .into_iter()
        .flatten()
        .find(|program| workspace.ask(program, &["--version"]).as_deref() == Some(version))
}

/// Installs `typos` from its Python package, which is a download and not a build.
pub(crate) fn install_typos(workspace: &Workspace) -> Result<()> {
    if typos(workspace).is_some() {
        return Ok(());
    }
    let shell = &workspace.shell;
    let python = workspace.python().context("typos needs a python3 with venv")?;
    let venv = workspace.tools().join("venv");
    cmd!(shell, "{python} -m venv --clear {venv}").run()?;
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    cmd!(shell, "{python} {pip...} typos=={TYPOS}").run()?;
    typos(workspace).context("typos is installed but does not run").map(drop)
}

/// Builds `cargo-deny` from source, which takes a few minutes once.
pub(crate) fn install_cargo_deny(workspace: &Workspace) -> Result<()> {
    if cargo_deny(workspace).is_some() {
        return Ok(());
    }
    let tools = workspace.tools();
    let build = tools.join("build");
    workspace
        .cargo(["install", "cargo-deny", "--locked", "--force", "--version", CARGO_DENY])
        .arg("--root")
        .arg(&tools)
        .arg("--target-dir")
        .arg(&build)
        // It runs for a second or two, so the time to build it counts more than its speed.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .run()?;
    // Kept if the build was interrupted, so that the next one continues.
    fs::remove_dir_all(&build).context("failed to remove the build folder of cargo-deny")?;
    cargo_deny(workspace).context("cargo-deny is installed but does not run").map(drop)
}
