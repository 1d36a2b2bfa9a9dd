//! `cargo xtask bench`: builds the hub for release and runs the load generator in `bench/` with it.

use std::env::consts::EXE_SUFFIX;

use anyhow::{Result, ensure};
use xshell::Cmd;

use crate::{peers::Peers, python, workspace::Workspace};

/// The arguments of `cargo xtask bench`, most of which go to the load generator.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run briefly with few connections, as a check that everything works
    #[arg(long)]
    quick: bool,
    /// Measure publishing through Redis beside Redis alone, and write the table of docs/redis.md
    #[arg(long, conflicts_with_all = ["json", "list", "rounds", "seconds", "case", "server", "write_docs"])]
    redis: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// List the cases and servers
    #[arg(long)]
    list: bool,
    /// Rounds of each case and server, of which the medians count
    #[arg(long)]
    rounds: Option<u32>,
    /// How many seconds each round publishes
    #[arg(long)]
    seconds: Option<f64>,
    /// Run these cases only; `closed` selects all whose name begins with it
    #[arg(long, num_args = 1.., value_name = "NAME")]
    case: Vec<String>,
    /// Measure these servers only; `bare` selects all whose name begins with it
    #[arg(long, num_args = 1.., value_name = "NAME")]
    server: Vec<String>,
    /// Write the figures and the plot into the pages of docs/
    #[arg(long, conflicts_with = "quick")]
    write_docs: bool,
    #[command(flatten)]
    peers: Peers,
    /// Further arguments of the load generator
    #[arg(last = true)]
    rest: Vec<String>,
}

/// The folder of the pages with figures, and the page about Redis.
const PAGES: &str = "docs";
const REDIS_PAGE: &str = "docs/redis.md";

impl Args {
    /// Returns whether Flask programs are measured, which need a Python with the package.
    fn wants_flask(&self) -> bool {
        let among = |names: &[String]| names.is_empty() || names.iter().any(|name| name.starts_with("flask"));
        !self.redis && !self.list && among(&self.case) && among(&self.server)
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    args.peers.install(workspace)?;
    workspace.cargo(["build", "--release", "--locked", "--package", "tidecast-server"]).run()?;
    let mut bench =
        if args.redis { built(workspace, "redis", true)? } else { built(workspace, "tidecast-bench", true)? };
    for (flag, given) in [("--quick", args.quick), ("--json", args.json), ("--list", args.list)] {
        bench = bench.args(given.then_some(flag));
    }
    for (flag, value) in [
        ("--rounds", args.rounds.map(|rounds| rounds.to_string())),
        ("--seconds", args.seconds.map(|seconds| seconds.to_string())),
    ] {
        bench = bench.args(value.map(|value| [flag.to_owned(), value]).into_iter().flatten());
    }
    bench = bench.args(args.case.iter().flat_map(|name| ["--case", name]));
    bench = bench.args(args.server.iter().flat_map(|name| ["--server", name]));
    if args.wants_flask() {
        match python::released(workspace) {
            Ok(python) => bench = bench.env("TIDECAST_PYTHON", python),
            Err(error) => eprintln!("bench: no Flask programs: {error:#}"),
        }
    }
    bench = args.peers.give(workspace, bench)?;
    // A short run is a check only and writes nothing.
    let page = match (args.redis, args.write_docs) {
        (true, _) => (!args.quick).then_some(REDIS_PAGE),
        (false, write_docs) => write_docs.then_some(PAGES),
    };
    bench = bench.args(page.map(|page| ["--write-docs", page]).into_iter().flatten());
    Ok(bench.args(&args.rest).run()?)
}

/// Returns a short run with the debug hub that was built before, as a check that every server passes every case without
/// a loss. Flask programs take part if the Python package is installed, and the peers that are.
pub(crate) fn smoke<'a>(workspace: &'a Workspace) -> Result<Cmd<'a>> {
    let bench = built(workspace, "tidecast-bench", false)?.arg("--quick").ignore_stdout();
    let bench = Peers::default().give(workspace, bench)?;
    Ok(match python::installed(workspace) {
        Some(python) => bench.env("TIDECAST_PYTHON", python),
        None => bench,
    })
}

/// Builds the programs of `bench/`, and returns a call of one with the path of the hub of the same profile.
pub(crate) fn built<'a>(workspace: &'a Workspace, program: &str, release: bool) -> Result<Cmd<'a>> {
    // Dependencies of both workspaces are built once, as they share the target folder.
    let build = workspace.cargo(["build", "--quiet", "--locked", "--bins", "--manifest-path", "bench/Cargo.toml"]);
    build.args(release.then_some("--release")).env("CARGO_TARGET_DIR", &workspace.target).run()?;
    let profile = if release { "release" } else { "debug" };
    let hub = workspace.hub(profile);
    ensure!(hub.exists(), "no hub at {}", hub.display());
    let program = workspace.target.join(profile).join(format!("{program}{EXE_SUFFIX}"));
    Ok(workspace.shell.cmd(program).env("TIDECAST_BIN", hub))
}
