//! `cargo xtask clients`: third-party clients pass one scenario against a hub, and behave as docs/clients.md says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::{
    environment::CLIENTS,
    packages,
    report::{Outcome, passed},
    setup::{self, CLIENT_TESTS},
    workspace::{MINUTES_MAX, Workspace, on_path},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Include slow clients, and those in Go and on the JVM if their toolchains are installed
    #[arg(long)]
    all: bool,
}

/// Builds the hub and runs the step.
pub(crate) fn alone(workspace: &Workspace, args: &Args) -> Result<Outcome> {
    setup::run(workspace)?;
    workspace.cargo(["build", "--package", "tidecast-server", "--locked"]).run()?;
    run(workspace, args.all)
}

/// Runs clients from npm and PyPI, and clients in a page, against the hub that was built before.
pub(crate) fn run(workspace: &Workspace, all: bool) -> Result<Outcome> {
    if !workspace.has(CLIENT_TESTS) {
        return Ok(Outcome::Skipped(format!("no {CLIENT_TESTS}")));
    }
    let hub = workspace.hub("debug");
    ensure!(hub.exists(), "no hub at {}", hub.display());
    let chromium = on_path(&packages::CHROMIUM).context("no Chromium: run `cargo xtask setup`")?;
    let _there = workspace.shell.push_dir(workspace.root.join(CLIENT_TESTS));
    // After the last test Node would wait for ever for connections that a browser leaves open.
    let node = workspace.within(MINUTES_MAX, Path::new("node")).args(["--test", "--test-force-exit"]);
    let node = node.env("TIDECAST_CLIENTS_PYTHON", CLIENTS.program(workspace, "python"));
    let mut node = node.env("TIDECAST_BIN", hub).env("CHROMIUM", chromium);
    if all {
        node = node.env("TIDECAST_CLIENTS_ALL", "1");
        match in_go(workspace)? {
            Some(program) => node = node.env("TIDECAST_CLIENTS_GO", program),
            None => println!("skipped: the clients in Go, as there is no `go`"),
        }
        match on_the_jvm(workspace)? {
            Some(path) => node = node.env("TIDECAST_CLIENTS_CLASSPATH", path),
            None => println!("skipped: the clients on the JVM, as there is no `mvn` and `java`"),
        }
    }
    passed(&node)
}

fn in_go(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let Some(go) = on_path(&["go"]) else { return Ok(None) };
    let program = workspace.target.join("clients-go");
    let _there = workspace.shell.push_dir("go");
    cmd!(workspace.shell, "{go} build -o {program} .").run()?;
    Ok(Some(program))
}

fn on_the_jvm(workspace: &Workspace) -> Result<Option<String>> {
    let (Some(mvn), Some(_java)) = (on_path(&["mvn"]), on_path(&["java"])) else { return Ok(None) };
    let built = workspace.target.join("clients-jvm");
    let build = format!("-DbuildDirectory={}", built.display());
    cmd!(workspace.shell, "{mvn} -q -B -f jvm/pom.xml {build} package dependency:copy-dependencies").run()?;
    Ok(Some(format!("{0}/classes:{0}/dependency/*", built.display())))
}
