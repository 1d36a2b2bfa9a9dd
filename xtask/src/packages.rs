//! The system's packages that the tests need: installed on Debian and what descends from it, by root or by a `sudo`
//! that asks nothing; elsewhere named.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{
    environment,
    quiet_services::{self, QuietServices},
    setup::BROWSER_TESTS,
    tools,
    workspace::{Workspace, on_path},
};

/// Chromium under the names it has in distributions.
pub(crate) const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Firefox under the names it has in distributions.
pub(crate) const FIREFOX: [&str; 2] = ["firefox-esr", "firefox"];

/// C++ compilers, of which libFuzzer's build takes one.
pub(crate) const CXX: [&str; 3] = ["c++", "g++", "clang++"];

/// What the hub is measured beside, and where its package puts it. Root's programs are not on everybody's `PATH`.
const NCHAN: [(&str, &str); 2] =
    [("nginx", "/usr/sbin/nginx"), ("libnginx-mod-nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so")];

/// The proxies that the configurations in `docs/proxies.md` are tested with, and where their packages put them.
const PROXIES: [(&str, &str); 5] = [
    ("apache2", "/usr/sbin/apache2"),
    ("caddy", "/usr/bin/caddy"),
    ("haproxy", "/usr/sbin/haproxy"),
    ("lighttpd", "/usr/sbin/lighttpd"),
    ("lighttpd-mod-openssl", "/usr/lib/lighttpd/mod_openssl.so"),
];

/// Brings the packages that are missing.
///
/// # Errors
/// With the command to type, if this may not install packages.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let packages = missing(workspace);
    if packages.is_empty() && !quiet_services::is_unfinished(workspace) {
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
    QuietServices::new(workspace, as_root).during(|| {
        if packages.is_empty() {
            return Ok(());
        }
        apt().arg("update").run()?;
        Ok(apt().args(["install", "--yes", "--no-install-recommends"]).args(&packages).run()?)
    })?;
    let still = missing(workspace);
    if !still.is_empty() {
        bail!("installed, but still not usable: {}", still.join(" "));
    }
    Ok(())
}

/// Debian's names of the packages that are needed and not there.
fn missing(workspace: &Workspace) -> Vec<&'static str> {
    let browser_tests = workspace.has(BROWSER_TESTS);
    // cargo needs `cc` to link, so a C compiler is there; jemalloc's build calls `make`, and libFuzzer's a C++ compiler.
    let mut packages = Vec::new();
    if on_path(&["make"]).is_none() {
        packages.push("make");
    }
    if on_path(&CXX).is_none() {
        packages.push("g++");
    }
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
    if browser_tests && on_path(&["wget"]).is_none() {
        packages.push("wget");
    }
    if browser_tests && workspace.ask("npm", &["--version"]).is_none() {
        packages.push("npm");
    }
    packages.extend(["redis-server", "redis-sentinel"].into_iter().filter(|program| on_path(&[program]).is_none()));
    if on_path(&["redis-cli"]).is_none() {
        packages.push("redis-tools");
    }
    let files = NCHAN.into_iter().chain(PROXIES);
    packages.extend(files.filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| package));
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
