//! Measures the hub side by side with a minimal server and with servers that one might use in its place.
//!
//! ```sh
//! cargo xtask bench --case closed --server tidecast --server bare
//! ```
//!
//! The output is tables in Markdown, or JSON with `--json`. [`arguments`] parses the command line, [`servers`] starts
//! and ends the servers, [`load`] publishes, receives and checks, each file of [`cases`] measures one kind of case,
//! [`figures`] defines the figures, and [`report`] prints them. `servers::Kind` lists the servers, two of which are
//! programs of this package in `bin/`.

mod arguments;
mod cases;
mod figures;
mod load;
mod report;
mod servers;
mod stats;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    arguments::Arguments,
    cases::Case,
    figures::{FAULTS, Figures},
    report::CaseResult,
    servers::{Kind, Programs},
};

fn main() -> Result<()> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    if arguments.list {
        println!("cases:");
        cases::ALL.iter().for_each(|case| println!("  {:26} {}", case.name, case.title));
        println!("servers:");
        for (at, kind) in Kind::ALL.iter().enumerate() {
            let configuration = kind.configuration();
            let same = Kind::ALL[..at].iter().find(|other| other.configuration() == configuration);
            let shown = same.map_or(configuration.trim().to_owned(), |other| format!("as {}", other.name()));
            println!("  {}\n      {}", kind.name(), shown.replace('\n', "\n      "));
        }
        return Ok(());
    }
    // The servers inherit the limit.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let programs = Programs::find()?;
    let mut missing = Vec::new();
    for kind in arguments.servers.iter().filter(|kind| arguments.cases.iter().any(|case| case.is_for(**kind))) {
        if let Some(remedy) = programs.missing(*kind) {
            eprintln!("{}: missing: {remedy}", kind.name());
            missing.push((*kind, remedy));
        }
    }
    let mut results = Vec::new();
    for case in &arguments.cases {
        let result = measure(case, &missing, &programs, &arguments)?;
        // The reason of a missing server was printed above.
        results.extend((!result.servers.is_empty()).then_some(result));
    }
    print!("{}", if arguments.json { report::json(&results) } else { report::markdown(&results) });
    if arguments.effort.quick {
        return results.iter().try_for_each(check);
    }
    if !arguments.json {
        print!("{}", report::bars(&results));
    }
    match arguments.docs {
        Some(docs) => report::write_pages(&docs, results),
        None => Ok(()),
    }
}

/// Measures the servers in turn, round by round, so that other load on the machine affects all of them.
fn measure(
    case: &'static Case,
    missing: &[(Kind, &'static str)],
    programs: &Programs,
    arguments: &Arguments,
) -> Result<CaseResult> {
    let missing: Vec<_> = missing.iter().copied().filter(|(kind, _)| case.is_for(*kind)).collect();
    let mut servers = arguments.servers.clone();
    servers.retain(|kind| case.is_for(*kind) && missing.iter().all(|(missing, _)| missing != kind));
    let mut rounds = vec![Vec::new(); servers.len()];
    for round in 1..=arguments.effort.rounds {
        for (kind, rounds) in servers.iter().zip(&mut rounds) {
            let figures = case.measure(programs, *kind, arguments.effort);
            match figures.with_context(|| format!("{}: {}", case.name, kind.name())) {
                Ok(figures) => {
                    let main = figures.of(case.main).unwrap_or(f64::NAN);
                    eprintln!("{} {round}: {}: {main:.2} {}", case.name, kind.name(), case.main.name());
                    rounds.push(figures);
                }
                // A peer that fails is a result; a failure of Tidecast is an error.
                Err(error) if kind.is_peer() && !arguments.effort.quick => eprintln!("{error:#}"),
                Err(error) => return Err(error),
            }
        }
    }
    let servers = servers.into_iter().zip(rounds.iter().map(|rounds| Figures::over(rounds))).collect();
    Ok(CaseResult { case, servers, missing })
}

/// Checks that a case has a figure for every server, and no fault except of third-party servers.
fn check(result: &CaseResult) -> Result<()> {
    for (kind, figures) in &result.servers {
        let of = || format!("{} of {}", result.case.name, kind.name());
        ensure!(figures.of(result.case.main).is_some(), "{} has no figure", of());
        for fault in FAULTS {
            let count = figures.of(fault).unwrap_or(0.0);
            ensure!(count == 0.0 || kind.is_foreign(), "{}: {count} {}", of(), fault.name());
        }
    }
    Ok(())
}
