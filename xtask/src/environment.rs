//! Python environments that tests run in, each as its `requirements` file states it, to the version.
//!
//! They lie among the tools in the target folder, where the tests look for them. There is no way to do without: a test
//! that is passed over where a package index can't be reached would look like one that passed.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use xshell::cmd;

use crate::{packages, workspace::Workspace};

/// A virtual environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The name of its folder.
    name: &'static str,
    /// The file that says what is to be in it.
    requirements: &'static str,
}

/// What the Flask programs run in that the tests of the hub start beside it.
pub(crate) const FLASK: Environment = Environment { name: "flask", requirements: "tests/flask/requirements.txt" };

/// What builds the Python package, and what its tests need.
pub(crate) const PACKAGE: Environment = Environment { name: "python", requirements: "python/requirements-tests.txt" };

/// The last gunicorn with a worker on eventlet, which the tests of the Python package start beside the others.
pub(crate) const EVENTLET: Environment =
    Environment { name: "python-eventlet", requirements: "python/requirements-eventlet.txt" };

/// The clients of PyPI that are tried against the hub.
pub(crate) const CLIENTS: Environment = Environment { name: "clients", requirements: "tests/clients/requirements.txt" };

/// All that `setup` makes.
pub(crate) const ALL: [Environment; 4] = [FLASK, PACKAGE, EVENTLET, CLIENTS];

impl Environment {
    /// Whether it is there, as it is stated.
    pub(crate) fn is_installed(&self, workspace: &Workspace) -> bool {
        // A copy of what was installed says more than a time of change, which a checkout sets anew.
        let wanted = fs::read(workspace.root.join(self.requirements));
        matches!((wanted, fs::read(self.marker(workspace))), (Ok(wanted), Ok(installed)) if wanted == installed)
    }

    /// Makes it, from the package index that pip is set up for.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<()> {
        if self.is_installed(workspace) {
            return Ok(());
        }
        let Self { name, requirements } = self;
        let shell = &workspace.shell;
        let python = packages::python(workspace).context("the tests need a python3 with venv")?;
        let environment = self.folder(workspace);
        cmd!(shell, "{python} -m venv --clear {environment}").run()?;
        let python = self.program(workspace, "python");
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"];
        let installed = cmd!(shell, "{python} {pip...} --requirement {requirements}").run();
        installed.with_context(|| format!("what `{name}` needs can't be installed"))?;
        // `--no-deps` takes the file for all there is; this tells if it is not.
        cmd!(shell, "{python} -m pip --disable-pip-version-check check").run()?;
        Ok(fs::copy(workspace.root.join(requirements), self.marker(workspace)).map(drop)?)
    }

    /// One of its programs.
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

/// Makes all of them.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    ALL.iter().try_for_each(|environment| environment.install(workspace))
}
