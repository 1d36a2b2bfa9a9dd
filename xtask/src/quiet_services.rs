//! Packages whose services are not wanted, only their programs: Debian starts a service when its package is installed,
//! and at every start of the machine from then on.
//!
//! While this stands, `/usr/sbin/policy-rc.d`, which Debian's installer asks, says no to all of them. A policy that is
//! there already is left alone, as it says no in the images of build machines and is somebody's decision elsewhere.

use std::path::Path;

use anyhow::Result;
use xshell::Shell;

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Why the file is there, should it ever be left behind. 101 is "this is not allowed".
const SAYS_NO: &str =
    "#!/bin/sh\n# Written by `cargo xtask setup` of Tidecast while it installs packages; may be removed.\nexit 101\n";

/// Keeps services from being started for as long as it lives.
pub(crate) struct QuietServices<'a> {
    shell: &'a Shell,
    /// What runs a command as root: nothing, or `sudo`.
    as_root: &'a [&'a str],
    services: &'a [&'a str],
    own_policy: bool,
}

impl<'a> QuietServices<'a> {
    pub(crate) fn begin(shell: &'a Shell, as_root: &'a [&'a str], services: &'a [&'a str]) -> Result<Self> {
        let mut quiet = Self { shell, as_root, services, own_policy: false };
        if !services.is_empty() && !Path::new(POLICY).exists() {
            // From now on, as a file that was written half-way is to go too.
            quiet.own_policy = true;
            quiet.run(&["tee", POLICY], SAYS_NO)?;
            quiet.run(&["chmod", "755", POLICY], "")?;
        }
        Ok(quiet)
    }

    fn run(&self, command: &[&str], stdin: &str) -> Result<()> {
        let whole = [self.as_root, command].concat();
        Ok(self.shell.cmd(whole[0]).args(&whole[1..]).stdin(stdin).ignore_stdout().run()?)
    }
}

impl Drop for QuietServices<'_> {
    fn drop(&mut self) {
        if self.own_policy {
            let _ = self.run(&["rm", "--force", POLICY], "");
        }
        // They were not started, and are not to be at the next start of the machine either.
        if Path::new("/run/systemd/system").exists() {
            for service in self.services {
                let _ = self.run(&["systemctl", "disable", "--now", service], "");
            }
        }
    }
}
