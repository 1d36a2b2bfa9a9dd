//! The fuzz targets, built for libFuzzer with the nightly toolchain and run one after the other.
//!
//! The flags are those of `cargo fuzz`, given here so that nobody has to build that tool first.

use std::fs;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::{report::Outcome, workspace::Workspace};

/// Coverage that libFuzzer can steer by, and the address sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Zsanitizer=address";

/// Runs every target in `fuzz/fuzz_targets` for so many seconds each.
pub(crate) fn run(workspace: &Workspace, seconds: u64) -> Result<Outcome> {
    if !workspace.has("fuzz/Cargo.toml") {
        return Ok(Outcome::Skipped("no fuzz/Cargo.toml".to_owned()));
    }
    let shell = &workspace.shell;
    let version = workspace.ask("rustup", &["run", "nightly", "rustc", "-vV"]);
    let version = version.context("no nightly toolchain: run `rustup toolchain install nightly --profile minimal`")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target = workspace.target.join("fuzz");
    // A target triple keeps the flags away from build scripts, which the coverage would not let link.
    let build = ["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", host];
    cmd!(shell, "rustup run nightly cargo {build...} --target-dir {target}").env("RUSTFLAGS", FLAGS).run()?;

    let names = targets(workspace)?;
    ensure!(!names.is_empty(), "no targets in fuzz/fuzz_targets");
    for name in names {
        let program = target.join(host).join("release").join(&name);
        // What it finds interesting is kept here and grows; the inputs in the repository are only read.
        let found = target.join("corpus").join(&name);
        let seeds = workspace.root.join("fuzz/corpus").join(&name);
        let artifacts = workspace.root.join("fuzz/artifacts").join(&name);
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&artifacts)?;
        let seeds = seeds.exists().then_some(seeds);
        let limits = [format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", artifacts.display())];
        cmd!(shell, "{program} {limits...} -print_final_stats=1 {found} {seeds...}").run()?;
    }
    Ok(Outcome::Passed)
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
