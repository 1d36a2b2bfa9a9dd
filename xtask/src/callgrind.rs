//! `cargo xtask callgrind`: compares the instructions of each operation with a baseline.

use anyhow::Result;

use crate::{
    bench,
    report::Outcome,
    workspace::{Workspace, on_path},
};

/// The arguments of `cargo xtask callgrind`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Accept the present counts: write the baseline
    #[arg(long)]
    write: bool,
}

/// The file of the baseline.
const BASELINE: &str = "bench/instructions.txt";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Outcome> {
    if on_path(&["valgrind"]).is_none() {
        return Ok(Outcome::Skipped("no valgrind, which `cargo xtask setup` installs on Debian".to_owned()));
    }
    workspace.cargo(["build", "--release", "--locked", "--package", "tidecast-server"]).run()?;
    let counted = bench::built(workspace, "counted", true)?;
    let counted = counted.arg("check").arg(workspace.hub("release")).arg(workspace.root.join(BASELINE));
    counted.args(args.write.then_some("--write")).run()?;
    Ok(Outcome::Passed)
}
