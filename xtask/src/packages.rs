//! The system's packages that the tests need: installed on Debian and what descends from it, by root or by a `sudo`
//! that asks nothing; elsewhere named.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{
    environment,
    quiet_services::QuietServices,
    setup::BROWSER_TESTS,
    tools,
    workspace::{Workspace, on_path},
};

/// Chromium under the names it has in distributions.
pub(crate) const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Firefox under the names it has in distributions.
pub(crate) const FIREFOX: [&str; 2] = ["firefox-esr", "firefox"];

/// Packages that are a program here and a service elsewhere; each service has its package's name.
const SERVICES: [&str; 3] = ["redis-server", "redis-sentinel", "nginx"];

/// What the hub is measured beside, and where its package puts it. Root's programs are not on everybody's `PATH`.
const NCHAN: [(&str, &str); 2] =
    [("nginx", "/usr/sbin/nginx"), ("libnginx-mod-nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so")];

/// Brings the packages that are missing.
///
/// # Errors
/// With the command to type, if this may not install packages.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let packages = missing(workspace);
    if packages.is_empty() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() || on_path(&["apt-get"]).is_none() {
        bail!("please install (Debian's names): {}", packages.join(" "));
    }
    let as_root: &[&str] = if workspace.ask("id", &["-u"]).as_deref() == Some("0") { &[] } else { &["sudo", "-n"] };
    if !as_root.is_empty() && workspace.ask("sudo", &["-n", "true"]).is_none() {
        bail!("please run: sudo apt-get install --no-install-recommends {}", packages.join(" "));
    }
    let apt = [as_root, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]].concat();
    let apt = || workspace.shell.cmd(apt[0]).args(&apt[1..]);
    apt().arg("update").run()?;
    // Only those that are installed now: one that was there before may be a service that somebody needs.
    let services: Vec<&str> = packages.iter().copied().filter(|package| SERVICES.contains(package)).collect();
    let quiet = QuietServices::begin(&workspace.shell, as_root, &services)?;
    apt().args(["install", "--yes", "--no-install-recommends"]).args(&packages).run()?;
    drop(quiet);
    let still = missing(workspace);
    if !still.is_empty() {
        bail!("installed, but still not usable: {}", still.join(" "));
    }
    Ok(())
}

/// Debian's names of the packages that are needed and not there.
fn missing(workspace: &Workspace) -> Vec<&'static str> {
    let browser_tests = workspace.has(BROWSER_TESTS);
    let mut packages = Vec::new();
    if browser_tests && on_path(&CHROMIUM).is_none() {
        packages.push("chromium");
    }
    if browser_tests && on_path(&FIREFOX).is_none() {
        packages.push("firefox-esr");
    }
    if browser_tests && workspace.ask("node", &["--version"]).is_none() {
        packages.push("nodejs");
    }
    if browser_tests && on_path(&["curl"]).is_none() {
        packages.push("curl");
    }
    if browser_tests && workspace.ask("npm", &["--version"]).is_none() {
        packages.push("npm");
    }
    packages.extend(["redis-server", "redis-sentinel"].into_iter().filter(|program| on_path(&[program]).is_none()));
    if on_path(&["redis-cli"]).is_none() {
        packages.push("redis-tools");
    }
    packages.extend(NCHAN.into_iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| package));
    // Only where it can be brought: the step that needs it is skipped elsewhere.
    if Path::new("/etc/debian_version").exists() && on_path(&["valgrind"]).is_none() {
        packages.push("valgrind");
    }
    // Python is here for one tool, for its installation only, for the Flask programs of the tests, and for our package.
    let wants_python = tools::typos(workspace).is_none()
        || environment::ALL.iter().any(|environment| !environment.is_installed(workspace));
    if wants_python && python(workspace).is_none() {
        packages.push("python3-venv");
    }
    packages
}

/// A Python that can make a virtual environment with pip in it, which Debian's alone can't.
pub(crate) fn python(workspace: &Workspace) -> Option<PathBuf> {
    let candidates = ["python3", "/usr/bin/python3", "python"].map(PathBuf::from);
    candidates.into_iter().find(|python| workspace.ask(python, &["-c", "import venv, ensurepip"]).is_some())
}
