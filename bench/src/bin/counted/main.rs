//! What an operation takes in instructions, which unlike time is the same on a busy machine: so a change that makes one
//! dearer is noticed where no clock would notice it.
//!
//! `counted check HUB BASELINE [--write]` runs each case twice under valgrind's callgrind, some number of times and then
//! more, and takes the difference, so that starting and ending count for nothing. The cases of the engine are this
//! program itself, called as `counted run CASE TIMES`; those over HTTP are the hub, over a socket, published to from here.
//!
//! What could still differ between machines: which variants of `memcpy` and of a search for bytes are chosen for the
//! processor (valgrind has AVX2 at most, so those that have it agree), the C library, and the compiler. A baseline says
//! which compiler and system it is of, and is taken strictly only there.

mod baseline;
mod callgrind;
mod cases;
mod publisher;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::{
    baseline::Baseline,
    cases::{Case, Run},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["run", case, times] => run(case, times).map(|()| true),
        ["check", hub, baseline] => check(Path::new(hub), Path::new(baseline), false),
        ["check", hub, baseline, "--write"] => check(Path::new(hub), Path::new(baseline), true),
        _ => Err(anyhow::anyhow!("counted run CASE TIMES, or counted check HUB BASELINE [--write]")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("counted: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(case: &str, times: &str) -> Result<()> {
    let case = Case::named(case).with_context(|| format!("no case `{case}`"))?;
    let Run::Engine(run) = case.run else { bail!("`{}` is not run here", case.name) };
    run(times.parse().context("not a number of times")?)
}

/// Counts every case and compares. Tells whether none has become too dear.
fn check(hub: &Path, path: &Path, write: bool) -> Result<bool> {
    let before = Baseline::read(path)?;
    let mut now = Baseline::of_this_machine()?;
    for case in &cases::ALL {
        now.put(case.name, callgrind::count(case, hub)?);
    }
    let passed = now.compare(&before);
    if write {
        now.write(path)?;
        println!("written to {}", path.display());
    }
    Ok(passed || write)
}
