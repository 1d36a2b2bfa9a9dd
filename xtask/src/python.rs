//! The Python package: built as a wheel, installed into an environment of its own, linted and tested there.
//!
//! The tests import what was installed, not what lies in the repository, so that what the wheel lacks is missed.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::{
    environment::{EVENTLET, PACKAGE},
    report::Outcome,
    test::{MINUTES_MAX, passed},
    workspace::Workspace,
};

const FOLDER: &str = "python";

/// The step by itself, with the hub that it meets.
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
    ensure!(is_installed, "no environment for it: run `cargo xtask setup`");
    let hub = workspace.hub("debug");
    ensure!(hub.exists(), "no hub at {}", hub.display());
    install_wheel(workspace, false)?;

    let shell = &workspace.shell;
    let tool = |name: &str| PACKAGE.program(workspace, name);
    let (ruff, mypy, python, pytest) = (tool("ruff"), tool("mypy"), tool("python"), tool("pytest"));
    // What these keep for the next time stays out of the repository.
    let cache = workspace.target.join("python-cache");
    cmd!(shell, "{ruff} check --cache-dir {cache}/ruff {FOLDER}").run()?;
    cmd!(shell, "{ruff} format --check --cache-dir {cache}/ruff {FOLDER}").run()?;
    // To the examples this package is one of others.
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
        // It keeps what it likes where it is started.
        let _there = shell.push_dir(&cache);
        cmd!(shell, "{python} -m mypy.stubtest tidecast._native").run()?;
    }
    let pytest = workspace.within(MINUTES_MAX, &pytest).args(["-p", "no:cacheprovider"]);
    let pytest = pytest.args(["-rs", "--rootdir", FOLDER, "--config-file", "python/pyproject.toml", "python/tests"]);
    let pytest = pytest.env("TIDECAST_UPSTREAM", upstream).env("TIDECAST_BIN", hub);
    let pytest = pytest.env("TIDECAST_EVENTLET", EVENTLET.folder(workspace));
    passed(&pytest.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// The Python of the environment, with the package as it is released in it, to measure it.
pub(crate) fn released(workspace: &Workspace) -> Result<PathBuf> {
    PACKAGE.install(workspace)?;
    install_wheel(workspace, true)?;
    Ok(PACKAGE.program(workspace, "python"))
}

/// The same with the package that was installed last, if there is one.
pub(crate) fn installed(workspace: &Workspace) -> Option<PathBuf> {
    let python = PACKAGE.program(workspace, "python");
    let there = PACKAGE.is_installed(workspace) && workspace.ask(&python, &["-c", "import tidecast"]).is_some();
    there.then_some(python)
}

/// Builds the wheel and puts it into the environment, in the place of the one before.
fn install_wheel(workspace: &Workspace, release: bool) -> Result<()> {
    let shell = &workspace.shell;
    let wheels = workspace.target.join("python-wheel");
    // So that there is one.
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
