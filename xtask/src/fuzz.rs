//! `cargo xtask fuzz`: builds the fuzz targets for libFuzzer with the nightly toolchain and runs them one by one.
//!
//! The flags are those of `cargo fuzz`, so that nobody has to build that tool first.

use std::fs;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::workspace::Workspace;

/// The arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many minutes each target runs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Run this target only, a file in `fuzz/fuzz_targets`; may be given more than once
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
}

/// Coverage instrumentation for libFuzzer, and the address sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Zsanitizer=address";

/// Runs the named targets, or all, one by one.
///
/// # Errors
///
/// If there is no nightly toolchain, a target does not exist, or a target fails. Its input is then in `fuzz/artifacts`.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let names = targets(workspace)?;
    for name in &args.targets {
        ensure!(names.contains(name), "no target `{name}`; the targets are {}", names.join(", "));
    }
    let shell = &workspace.shell;
    let version = workspace.ask("rustup", &["run", "nightly", "rustc", "-vV"]);
    let version = version
        .context("fuzzing needs a nightly toolchain: run `rustup toolchain install nightly --profile minimal`")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target = workspace.target.join("fuzz");
    // A target triple keeps the flags away from build scripts, which would not link with coverage.
    let build = ["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", host];
    cmd!(shell, "rustup run nightly cargo {build...} --target-dir {target}").env("RUSTFLAGS", FLAGS).run()?;

    for name in if args.targets.is_empty() { names } else { args.targets.clone() } {
        let program = target.join(host).join("release").join(&name);
        // New inputs are kept here. The inputs in the repository are only read.
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
