//! `cargo xtask python`: builds the Python package as a wheel, installs it into an environment, and lints and tests it
//! there.
//!
//! The tests import the installed package, not the source folder, so that a file that the wheel lacks is noticed.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::{
    environment::{EVENTLET, PACKAGE},
    report::{Outcome, passed},
    workspace::{MINUTES_MAX, Workspace},
};

const FOLDER: &str = "python";

/// Builds the hub and runs the step.
pub(crate) fn alone(workspace: &Workspace) -> Result<()> {
    PACKAGE.install(workspace)?;
    EVENTLET.install(workspace)?;
    workspace.cargo(["build", "--package", "tidecast-server", "--locked"]).run()?;
    run(workspace).map(drop)
}

pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    if !workspace.has(FOLDER) {
        return Ok(Outcome::Skipped(format!("no {FOLDER}")));
    }
    let is_installed = PACKAGE.is_installed(workspace) && EVENTLET.is_installed(workspace);
    ensure!(is_installed, "the Python environment is missing: run `cargo xtask setup`");
    let hub = workspace.hub("debug");
    ensure!(hub.exists(), "no hub at {}", hub.display());
    install_wheel(workspace, false)?;

    let shell = &workspace.shell;
    let tool = |name: &str| PACKAGE.program(workspace, name);
    let (ruff, mypy, python, pytest) = (tool("ruff"), tool("mypy"), tool("python"), tool("pytest"));
    // The caches of these tools stay out of the repository.
    let cache = workspace.target.join("python-cache");
    cmd!(shell, "{ruff} check --cache-dir {cache}/ruff {FOLDER}").run()?;
    cmd!(shell, "{ruff} format --check --cache-dir {cache}/ruff {FOLDER}").run()?;
    // The examples treat this package as a third-party one.
    let config = ["--config", "python/pyproject.toml"];
    cmd!(shell, "{ruff} check --cache-dir {cache}/ruff {config...} examples").run()?;
    cmd!(shell, "{ruff} format --check --cache-dir {cache}/ruff {config...} examples").run()?;
    {
        let _there = shell.push_dir(workspace.root.join(FOLDER));
        cmd!(shell, "{mypy} --cache-dir {cache}/mypy").run()?;
    }
    let upstream = cache.join("upstream");
    fs::create_dir_all(&upstream)?;
    {
        // The tool writes its cache into the working directory.
        let _there = shell.push_dir(&cache);
        cmd!(shell, "{python} -m mypy.stubtest tidecast._native").run()?;
    }
    let pytest = workspace.within(MINUTES_MAX, &pytest).args(["-p", "no:cacheprovider"]);
    let pytest = pytest.args(["-rs", "--rootdir", FOLDER, "--config-file", "python/pyproject.toml", "python/tests"]);
    let pytest = pytest.env("TIDECAST_UPSTREAM", upstream).env("TIDECAST_BIN", hub);
    let pytest = pytest.env("TIDECAST_EVENTLET", EVENTLET.folder(workspace));
    passed(&pytest.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// Returns the Python of the environment after installing a release build of the package, for the bench.
pub(crate) fn released(workspace: &Workspace) -> Result<PathBuf> {
    PACKAGE.install(workspace)?;
    install_wheel(workspace, true)?;
    Ok(PACKAGE.program(workspace, "python"))
}

/// Returns the Python of the environment if the package is installed.
pub(crate) fn installed(workspace: &Workspace) -> Option<PathBuf> {
    let python = PACKAGE.program(workspace, "python");
    let there = PACKAGE.is_installed(workspace) && workspace.ask(&python, &["-c", "import tidecast"]).is_some();
    there.then_some(python)
}

/// Builds the wheel and replaces the installed one.
fn install_wheel(workspace: &Workspace, release: bool) -> Result<()> {
    let shell = &workspace.shell;
    let wheels = workspace.target.join("python-wheel");
    // So that the folder has one wheel only.
    let _ = fs::remove_dir_all(&wheels);
    let (maturin, python) = (PACKAGE.program(workspace, "maturin"), PACKAGE.program(workspace, "python"));
    let target = &workspace.target;
    let build = ["build", "--quiet", "--locked", "--manifest-path", "python/Cargo.toml"];
    let release = release.then_some("--release");
    cmd!(shell, "{maturin} {build...} {release...} --interpreter {python} --target-dir {target} --out {wheels}")
        .run()?;
    let wheel = shell.read_dir(&wheels)?.into_iter().next().context("maturin has built no wheel")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall"];
    Ok(cmd!(shell, "{python} {pip...} {wheel}").run()?)
}
