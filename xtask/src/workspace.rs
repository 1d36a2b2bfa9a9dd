//! Paths of the repository, cargo's target folder, and programs on `PATH`.
//!
//! Cargo is asked for the target folder, which may be anywhere.

use std::{
    env,
    env::consts::EXE_SUFFIX,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

/// How many minutes the tests of one step may take: several times what they do take.
pub(crate) const MINUTES_MAX: u32 = 20;

/// The folder of the browser tests.
pub(crate) const BROWSER_TESTS: &str = "tests/browser";

/// The repository, and a shell in its root.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// The packages of the workspace that are published.
    pub(crate) packages: Vec<Package>,
    pub(crate) shell: Shell,
}

/// A package of the workspace that is published.
pub(crate) struct Package {
    pub(crate) name: String,
    /// The features without `default`, which only names others.
    pub(crate) features: Vec<String>,
}

impl Workspace {
    /// Finds the root, and asks cargo for the target folder.
    pub(crate) fn open() -> Result<Self> {
        let root = root();
        let shell = Shell::new()?;
        shell.change_dir(&root);
        let metadata =
            shell.cmd(cargo_program()).args(["metadata", "--no-deps", "--format-version", "1"]).quiet().read()?;
        let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?.into();
        Ok(Self { root, target, packages: published(&metadata), shell })
    }

    /// Returns a call of the cargo that runs this program.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Cmd<'_> {
        self.shell.cmd(cargo_program()).args(args)
    }

    /// Returns a call of cargo that is ended after this many minutes if the system has `timeout`, as a test that hangs
    /// must not block the build machine.
    pub(crate) fn cargo_within<const N: usize>(&self, minutes: u32, args: [&str; N]) -> Cmd<'_> {
        self.within(minutes, &cargo_program()).args(args)
    }

    /// Returns a Python that can create a virtual environment with pip, which Debian's base package cannot.
    pub(crate) fn python(&self) -> Option<PathBuf> {
        let candidates = ["python3", "/usr/bin/python3", "python"].map(PathBuf::from);
        candidates.into_iter().find(|python| self.ask(python, &["-c", "import venv, ensurepip"]).is_some())
    }

    /// Returns a call of a program that is ended after this many minutes if the system has `timeout`.
    pub(crate) fn within(&self, minutes: u32, program: &Path) -> Cmd<'_> {
        match on_path(&["timeout"]) {
            Some(timeout) => self.shell.cmd(timeout).args(["--kill-after=10s", &format!("{minutes}m")]).arg(program),
            None => self.shell.cmd(program),
        }
    }

    /// Returns whether the repository has this file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Returns the folder of the tools that `setup` installs.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Returns the path of the hub in this profile's folder.
    pub(crate) fn hub(&self, profile: &str) -> PathBuf {
        self.target.join(profile).join(format!("tidecast{EXE_SUFFIX}"))
    }

    /// Returns what a program prints to standard output, or `None` if it fails or does not exist.
    pub(crate) fn ask(&self, program: impl AsRef<Path>, args: &[&str]) -> Option<String> {
        cmd!(self.shell, "{program} {args...}").quiet().ignore_stderr().read().ok()
    }
}

/// Returns the root of the repository that cargo runs in, which may differ from the one that this program was compiled
/// in.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// Returns the packages that are published to a registry, out of what cargo says of the workspace.
fn published(metadata: &Value) -> Vec<Package> {
    // `publish = false` is an empty list of registries.
    let published =
        metadata["packages"].as_array().into_iter().flatten().filter(|package| package["publish"].is_null());
    let package = |package: &Value| {
        let features = package["features"].as_object().into_iter().flat_map(|features| features.keys());
        Package {
            name: package["name"].as_str().unwrap_or_default().to_owned(),
            features: features.filter(|feature| *feature != "default").cloned().collect(),
        }
    };
    published.map(package).collect()
}

/// Returns the cargo that runs this program. Under rustup that is its plain name, so that a printed command can be
/// typed again.
pub(crate) fn cargo_program() -> PathBuf {
    match env::var_os("CARGO") {
        Some(cargo) if env::var_os("RUSTUP_TOOLCHAIN").is_none() => cargo.into(),
        _ => "cargo".into(),
    }
}

/// Returns the path of the first of these programs on `PATH`.
pub(crate) fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let programs = names.iter().map(|name| format!("{name}{EXE_SUFFIX}"));
    programs.flat_map(|program| folders.iter().map(move |folder| folder.join(&program))).find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file())
}

/// Returns every file of the repository with its path from the root, except for git's own files and those that cargo,
/// npm or Python generated.
pub(crate) fn files() -> Vec<(String, PathBuf)> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort();
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, PathBuf)>) {
    const MADE: [&str; 9] = [
        ".git",
        "node_modules",
        "target",
        "__pycache__",
        ".venv",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "artifacts",
    ];
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry of a folder").path();
        if path.is_symlink() {
            continue;
        }
        // In a second worktree `.git` is a file.
        if path.file_name().is_some_and(|name| MADE.iter().any(|made| name == *made)) {
            continue;
        }
        if path.is_dir() {
            // A target folder may have any name. Cargo marks it with this file.
            if !path.join("CACHEDIR.TAG").exists() {
                walk(root, &path, found);
            }
            continue;
        }
        let name = path.strip_prefix(root).expect("a path below the root").to_string_lossy().replace('\\', "/");
        found.push((name, path));
    }
}
