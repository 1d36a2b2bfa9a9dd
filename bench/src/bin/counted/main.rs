//! Counts the instructions of operations. Unlike time, a count is the same on a busy machine, so a slower operation is
//! noticed.
//!
//! `counted check HUB BASELINE [--write]` runs each case under valgrind's callgrind with two numbers of repetitions and
//! takes the difference, so that start and end do not count. Cases of the engine run in this program, called as
//! `counted run CASE TIMES`; cases over HTTP run in the hub, with requests from here.
//!
//! Counts may differ between machines by the variants of `memcpy` and byte search for the processor (valgrind supports
//! AVX2 at most, so processors with AVX2 agree), the C library, and the compiler. A baseline names its compiler and
//! system, and applies strictly only to them.

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
    let Run::Engine(run) = &case.run else { bail!("case `{}` runs in the hub", case.name) };
    run(times.parse().context("not a number of times")?)
}

/// Counts every case and compares. Returns whether every case is within its allowed increase.
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
