//! System packages that the tests need. They are installed on Debian and its derivatives, by root or a `sudo` without a
//! password, and named elsewhere.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{
    environment,
    quiet_services::{self, QuietServices},
    tools,
    workspace::{BROWSER_TESTS, Workspace, on_path},
};

/// The names of Chromium in distributions.
pub(crate) const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The names of Firefox in distributions.
pub(crate) const FIREFOX: [&str; 2] = ["firefox-esr", "firefox"];

/// C++ compilers; libFuzzer's build needs one of them.
pub(crate) const CXX: [&str; 3] = ["c++", "g++", "clang++"];

/// The server that the bench compares with the hub, where its package installs it. Root's programs are not on every
/// user's `PATH`.
const NCHAN: [(&str, &str); 2] =
    [("nginx", "/usr/sbin/nginx"), ("libnginx-mod-nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so")];

/// The proxies of `docs/proxies.md`, where their packages install them.
const PROXIES: [(&str, &str); 5] = [
    ("apache2", "/usr/sbin/apache2"),
    ("caddy", "/usr/bin/caddy"),
    ("haproxy", "/usr/sbin/haproxy"),
    ("lighttpd", "/usr/sbin/lighttpd"),
    ("lighttpd-mod-openssl", "/usr/lib/lighttpd/mod_openssl.so"),
];

/// Installs the missing packages.
///
/// # Errors
///
/// If this user may not install packages. The error has the command for it.
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

/// Returns Debian's names of the missing packages.
fn missing(workspace: &Workspace) -> Vec<&'static str> {
    let browser_tests = workspace.has(BROWSER_TESTS);
    // Cargo needs `cc` to link, so a C compiler is present. The build of jemalloc calls `make`, and libFuzzer's a C++
    // compiler.
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
    // Only if it can be installed: the step that needs it is skipped elsewhere.
    if Path::new("/etc/debian_version").exists() && on_path(&["valgrind"]).is_none() {
        packages.push("valgrind");
    }
    // Python is needed to install one tool, for the Flask programs of the tests, and for the Python package.
    let wants_python = tools::typos(workspace).is_none()
        || environment::ALL.iter().any(|environment| !environment.is_installed(workspace));
    if wants_python && workspace.python().is_none() {
        packages.push("python3-venv");
    }
    packages
}
