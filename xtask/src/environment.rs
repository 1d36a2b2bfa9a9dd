//! Python environments for tests, each with the exact versions of its `requirements` file.
//!
//! They are among the tools in the target folder, where the tests look for them. No test is skipped if an environment
//! is missing, as a skipped test would look like one that passed.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use xshell::cmd;

use crate::workspace::Workspace;

/// A virtual environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The name of its folder.
    name: &'static str,
    /// The file with its requirements.
    requirements: &'static str,
}

/// The environment of the Flask programs that the hub's tests start.
pub(crate) const FLASK: Environment = Environment { name: "flask", requirements: "tests/flask/requirements.txt" };

/// The environment that builds and tests the Python package.
pub(crate) const PACKAGE: Environment = Environment { name: "python", requirements: "python/requirements-tests.txt" };

/// The last gunicorn with an eventlet worker, which tests of the Python package start beside the others.
pub(crate) const EVENTLET: Environment =
    Environment { name: "python-eventlet", requirements: "python/requirements-eventlet.txt" };

/// The clients from PyPI.
pub(crate) const CLIENTS: Environment = Environment { name: "clients", requirements: "tests/clients/requirements.txt" };

/// All environments, which `setup` creates.
pub(crate) const ALL: [Environment; 4] = [FLASK, PACKAGE, EVENTLET, CLIENTS];

impl Environment {
    /// Returns whether the environment is installed with its present requirements.
    pub(crate) fn is_installed(&self, workspace: &Workspace) -> bool {
        // A copy of the installed requirements is compared, as a checkout changes file times.
        let wanted = fs::read(workspace.root.join(self.requirements));
        matches!((wanted, fs::read(self.marker(workspace))), (Ok(wanted), Ok(installed)) if wanted == installed)
    }

    /// Creates the environment from the package index that pip is configured with.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<()> {
        if self.is_installed(workspace) {
            return Ok(());
        }
        let Self { name, requirements } = self;
        let shell = &workspace.shell;
        let python = workspace.python().context("the tests need a python3 with venv")?;
        let environment = self.folder(workspace);
        cmd!(shell, "{python} -m venv --clear {environment}").run()?;
        let python = self.program(workspace, "python");
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"];
        let installed = cmd!(shell, "{python} {pip...} --requirement {requirements}").run();
        installed.with_context(|| format!("cannot install the Python environment `{name}`"))?;
        // `--no-deps` installs the file's packages only; this fails if one is missing from the file.
        cmd!(shell, "{python} -m pip --disable-pip-version-check check").run()?;
        Ok(fs::copy(workspace.root.join(requirements), self.marker(workspace)).map(drop)?)
    }

    /// Returns the path of one of its programs.
    pub(crate) fn program(&self, workspace: &Workspace, name: &str) -> PathBuf {
        let programs = if cfg!(windows) { "Scripts" } else { "bin" };
        self.folder(workspace).join(programs).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    pub(crate) fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.tools().join(self.name)
    }

    fn marker(&self, workspace: &Workspace) -> PathBuf {
        self.folder(workspace).join("requirements.txt")
    }
}

/// Creates all environments that are missing.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    ALL.iter().try_for_each(|environment| environment.install(workspace))
}
