//! `cargo xtask bench`: builds the hub as it is released and hands it to the load generator in `bench/`.

use anyhow::{Result, ensure};

use crate::workspace::Workspace;

/// What is handed on to the load generator.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Short runs, to see that it works
    #[arg(long)]
    quick: bool,
    /// What publishing through Redis takes, beside what Redis takes for the same; writes the table of docs/redis.md
    #[arg(long, conflicts_with = "json")]
    redis: bool,
    /// Results as JSON
    #[arg(long)]
    json: bool,
    /// Further arguments of the load generator, as they are
    #[arg(last = true)]
    rest: Vec<String>,
}

/// The page that has the figures of Redis.
const REDIS_PAGE: &str = "docs/redis.md";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    ensure!(workspace.has("bench/Cargo.toml"), "no bench/Cargo.toml");
    workspace.cargo(["build", "--release", "--locked", "--package", "tidecast-server"]).run()?;
    let hub = workspace.hub("release");
    ensure!(hub.exists(), "no hub at {}", hub.display());
    let program = if args.redis { "redis" } else { "tidecast-bench" };
    let mut bench = workspace.cargo(["run", "--release", "--manifest-path", "bench/Cargo.toml", "--bin", program]);
    if workspace.has("bench/Cargo.lock") {
        bench = bench.arg("--locked");
    }
    bench = bench.arg("--");
    if args.quick {
        bench = bench.arg("--quick");
    }
    if args.json {
        bench = bench.arg("--json");
    }
    // A short run is to see that it works, and writes nothing.
    if args.redis && !args.quick {
        bench = bench.args(["--write-docs", REDIS_PAGE]);
    }
    // What both workspaces depend on is built once, as they share the target folder.
    bench = bench.args(&args.rest).env("CARGO_TARGET_DIR", &workspace.target).env("TIDECAST_BIN", hub);
    Ok(bench.run()?)
}
