//! Prevents packages from leaving services behind: the tests need their programs only, but Debian starts a service when
//! its package is installed, and at every boot.
//!
//! During an installation, `/usr/sbin/policy-rc.d`, which Debian's installer asks, forbids all starts. An existing
//! policy is left alone: in images of build machines it forbids them too, and elsewhere it is the administrator's.
//! Afterwards every unit that was not enabled before is disabled. The units that were enabled are written to a file
//! first, so that the next run finishes an interrupted one.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::workspace::Workspace;

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The content of the policy. Status 101 means "this is not allowed".
const REFUSE: &str =
    "#!/bin/sh\n# Written by `cargo xtask setup` of Tidecast while it installs packages; may be removed.\nexit 101\n";

/// Installs packages without starting or enabling their services.
pub(crate) struct QuietServices<'a> {
    shell: &'a Shell,
    /// The prefix that runs a command as root: nothing, or `sudo`.
    as_root: &'a [&'a str],
    /// The file with the services that were enabled before.
    record: PathBuf,
}

impl<'a> QuietServices<'a> {
    pub(crate) fn new(workspace: &'a Workspace, as_root: &'a [&'a str]) -> Self {
        Self { shell: &workspace.shell, as_root, record: record(workspace) }
    }

    /// Runs an installation and disables the services that it enabled, whether it succeeds or not.
    ///
    /// # Errors
    ///
    /// If the installation fails, or one of its services is still enabled afterwards.
    pub(crate) fn during(&self, install: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.record.exists() {
            fs::create_dir_all(self.record.parent().context("the file of enabled services has no folder")?)?;
            let before: Vec<String> = enabled(Path::new("/")).into_iter().collect();
            fs::write(&self.record, before.join("\n"))?;
        }
        let own_policy = !Path::new(POLICY).exists();
        let installed = self.refuse_starts(own_policy).and_then(|()| install());
        if own_policy || fs::read_to_string(POLICY).is_ok_and(|policy| policy == REFUSE) {
            self.run(&["rm", "--force", POLICY], "")?;
        }
        let disabled = self.disable_new();
        installed.and(disabled)
    }

    /// Disables and stops every service that is enabled now and was not before.
    fn disable_new(&self) -> Result<()> {
        let before = fs::read_to_string(&self.record).context("cannot read which services were enabled before")?;
        let new = |root: &Path| -> Vec<String> {
            enabled(root).into_iter().filter(|service| !before.lines().any(|known| known == service)).collect()
        };
        for service in new(Path::new("/")) {
            // As packages do it, which works without a running systemd. The tool needs the name of a package.
            self.run(&["env", "DPKG_MAINTSCRIPT_PACKAGE=tidecast", "deb-systemd-helper", "disable", &service], "")?;
            if let Some(script) = service.strip_suffix(".service")
                && Path::new("/etc/init.d").join(script).exists()
            {
                self.run(&["update-rc.d", script, "disable"], "")?;
            }
            if Path::new("/run/systemd/system").exists() {
                self.run(&["systemctl", "stop", &service], "")?;
            }
        }
        let left = new(Path::new("/"));
        ensure!(left.is_empty(), "please run: sudo systemctl disable --now {}", left.join(" "));
        Ok(fs::remove_file(&self.record)?)
    }

    fn refuse_starts(&self, own_policy: bool) -> Result<()> {
        if own_policy {
            self.run(&["tee", POLICY], REFUSE)?;
            self.run(&["chmod", "755", POLICY], "")?;
        }
        Ok(())
    }

    fn run(&self, command: &[&str], stdin: &str) -> Result<()> {
        let whole = [self.as_root, command].concat();
        Ok(self.shell.cmd(whole[0]).args(&whole[1..]).stdin(stdin).ignore_stdout().run()?)
    }
}

/// Returns whether a run was interrupted before it had disabled what it had installed.
pub(crate) fn is_unfinished(workspace: &Workspace) -> bool {
    record(workspace).exists()
}

fn record(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("services-before")
}

/// Returns the units that start at boot: those that a target of systemd wants, and scripts of a runlevel.
///
/// It reads the links, which also exist in an image without a running systemd.
fn enabled(root: &Path) -> BTreeSet<String> {
    let names = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    };
    let units = root.join("etc/systemd/system");
    let wanted = names(units.clone())
        .filter(|name| name.ends_with(".wants") || name.ends_with(".requires"))
        .flat_map(|folder| names(units.join(folder)));
    let scripts = (2..=5).flat_map(|level| names(root.join(format!("etc/rc{level}.d")))).filter_map(|link| {
        let script = link.strip_prefix('S')?.trim_start_matches(|digit: char| digit.is_ascii_digit());
        Some(format!("{script}.service"))
    });
    wanted.chain(scripts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `redis-sentinel` remained enabled: services were disabled only if systemd ran, and only those in a list of
    /// names. An image that is built without systemd has the links nevertheless.
    #[cfg(unix)]
    #[test]
    fn enabled_services_are_found_without_a_running_systemd() {
        let root = std::env::temp_dir().join(format!("tidecast-services-{}", std::process::id()));
        for link in [
            "etc/systemd/system/multi-user.target.wants/redis-sentinel.service",
            "etc/systemd/system/timers.target.wants/logrotate.timer",
            "etc/rc3.d/S01apache2",
            "etc/rc6.d/K01nginx",
        ] {
            let link = root.join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("/nowhere", link).unwrap();
        }
        fs::write(root.join("etc/systemd/system/not-enabled.service"), "").unwrap();
        let found: Vec<String> = enabled(&root).into_iter().collect();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["apache2.service", "logrotate.timer", "redis-sentinel.service"]);
    }
}
