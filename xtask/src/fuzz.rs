//! The fuzz targets, built for libFuzzer with the nightly toolchain and run one after the other.
//!
//! The flags are those of `cargo fuzz`, given here so that nobody has to build that tool first.

use std::fs;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::workspace::Workspace;

/// What to run, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Run this target only, a file in `fuzz/fuzz_targets`; may be given more than once
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
}

/// Coverage that libFuzzer can steer by, and the address sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Zsanitizer=address";

/// Runs the targets, every one in `fuzz/fuzz_targets` unless some are named, one after the other.
///
/// # Errors
/// If there is no nightly toolchain, a target does not exist, or one finds an input that fails: it is in `fuzz/artifacts`.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let names = targets(workspace)?;
    for name in &args.targets {
        ensure!(names.contains(name), "no target `{name}`; there are {}", names.join(", "));
    }
    let shell = &workspace.shell;
    let version = workspace.ask("rustup", &["run", "nightly", "rustc", "-vV"]);
    let version = version
        .context("fuzzing needs a nightly toolchain: run `rustup toolchain install nightly --profile minimal`")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target = workspace.target.join("fuzz");
    // A target triple keeps the flags away from build scripts, which the coverage would not let link.
    let build = ["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", host];
    cmd!(shell, "rustup run nightly cargo {build...} --target-dir {target}").env("RUSTFLAGS", FLAGS).run()?;

    for name in if args.targets.is_empty() { names } else { args.targets.clone() } {
        let program = target.join(host).join("release").join(&name);
        // What it finds interesting is kept here and grows; the inputs in the repository are only read.
        let found = target.join("corpus").join(&name);
        let seeds = workspace.root.join("fuzz/corpus").join(&name);
        let artifacts = workspace.root.join("fuzz/artifacts").join(&name);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&artifacts)?;
        let seeds = seeds.exists().then_some(seeds);
        let limits =
            [format!("-max_total_time={}", 60 * args.minutes), format!("-artifact_prefix={}/", artifacts.display())];
        cmd!(shell, "{program} {limits...} -print_final_stats=1 {found} {seeds...}").run()?;
    }
    Ok(())
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names: Vec<String> = workspace
        .shell
        .read_dir("fuzz/fuzz_targets")?
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
