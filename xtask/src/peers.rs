//! The peers of the bench that no system package installs: Centrifugo, the server of the crate `durable-streams`, and
//! Mercure, which is measured only if a binary is named.

use std::{env::consts::EXE_SUFFIX, path::PathBuf};

use anyhow::{Context, Result};
use xshell::{Cmd, cmd};

use crate::workspace::{Workspace, on_path};

const CENTRIFUGO: &str = "github.com/centrifugal/centrifugo/v6@v6.9.1";
const DURABLE_STREAMS: &str = "0.1.5";

/// The paths of the peers. Without one, the load generator looks on `PATH`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Peers {
    /// Centrifugo to compare with; default: the one that --install-peers installs, or the one on PATH
    #[arg(long, value_name = "PATH")]
    centrifugo: Option<PathBuf>,
    /// Mercure hub to compare with; default: the one on PATH
    #[arg(long, value_name = "PATH")]
    mercure: Option<PathBuf>,
    /// Install Centrifugo with `go install` and durable-streams with `cargo install` into tools/ in the target folder
    #[arg(long)]
    install_peers: bool,
}

impl Peers {
    /// Installs the peers that are missing, if asked for.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<()> {
        if !self.install_peers {
            return Ok(());
        }
        if installed(workspace, "centrifugo").is_none() {
            let go = on_path(&["go"]).context("Centrifugo needs Go: install it, or give --centrifugo PATH")?;
            let install = cmd!(workspace.shell, "{go} install {CENTRIFUGO}");
            install.env("GOBIN", workspace.tools().join("bin")).env("CGO_ENABLED", "0").run()?;
        }
        if installed(workspace, "durable-streams-server").is_none() {
            let install = workspace.cargo(["install", "durable-streams", "--locked", "--version", DURABLE_STREAMS]);
            let build = workspace.tools().join("build");
            install.arg("--root").arg(workspace.tools()).arg("--target-dir").arg(build).run()?;
        }
        Ok(())
    }

    /// Tells the load generator the paths.
    pub(crate) fn give<'a>(&self, workspace: &Workspace, mut bench: Cmd<'a>) -> Result<Cmd<'a>> {
        for (variable, named, program) in [
            ("TIDECAST_CENTRIFUGO", &self.centrifugo, "centrifugo"),
            ("TIDECAST_MERCURE", &self.mercure, "mercure"),
            ("TIDECAST_DURABLE_STREAMS", &None, "durable-streams-server"),
        ] {
            if let Some(path) = named.clone().or_else(|| installed(workspace, program)) {
                // The peers run in folders of their own.
                bench = bench.env(variable, std::path::absolute(path)?);
            }
        }
        Ok(bench)
    }
}

fn installed(workspace: &Workspace, program: &str) -> Option<PathBuf> {
    let path = workspace.tools().join("bin").join(format!("{program}{EXE_SUFFIX}"));
    path.is_file().then_some(path)
}
