//! The Python environment that the Flask programs of the tests run in, as their `requirements.txt` states it.
//!
//! It lies among the tools in the target folder, where the tests look for it. There is no way to do without: a test that
//! is passed over where a package index can't be reached would look like one that passed.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use xshell::cmd;

use crate::{packages, workspace::Workspace};

/// What is to be in it, to the version.
const REQUIREMENTS: &str = "tests/flask/requirements.txt";

/// Whether it is there, as it is stated.
pub(crate) fn is_installed(workspace: &Workspace) -> bool {
    // A copy of what was installed says more than a time of change, which a checkout sets anew.
    let wanted = fs::read(workspace.root.join(REQUIREMENTS));
    matches!((wanted, fs::read(marker(workspace))), (Ok(wanted), Ok(installed)) if wanted == installed)
}

/// Makes it, from the package index that pip is set up for.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    if is_installed(workspace) {
        return Ok(());
    }
    let shell = &workspace.shell;
    let python = packages::python(workspace).context("the Flask programs of the tests need a python3 with venv")?;
    let environment = folder(workspace);
    cmd!(shell, "{python} -m venv --clear {environment}").run()?;
    let python = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"];
    cmd!(shell, "{python} {pip...} --requirement {REQUIREMENTS}").run().context("Flask-SSE can't be installed")?;
    // `--no-deps` takes the file for all there is; this tells if it is not.
    cmd!(shell, "{python} -m pip --disable-pip-version-check check").run()?;
    Ok(fs::copy(workspace.root.join(REQUIREMENTS), marker(workspace)).map(drop)?)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("flask")
}

fn marker(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("requirements.txt")
}
