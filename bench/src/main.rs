//! Measures the hub, side by side with what can't be done with less, and with servers that one might use in its place.
//!
//! ```sh
//! cargo xtask bench --case closed --server tidecast --server bare
//! ```
//!
//! It prints tables in Markdown, or with `--json` the same as JSON. The files by step: [`arguments`] says what is
//! asked for, [`servers`] starts and ends the servers, [`load`] publishes, receives and checks, each file of [`cases`]
//! asks one question, [`figures`] are what comes out, and [`report`] writes it down. Which of the servers is meant is in
//! `servers::Kind`; two of them are programs of this package, in `bin/`.

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
    report::Answer,
    servers::{Kind, Programs},
};

fn main() -> Result<()> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    if arguments.list {
        println!("cases:");
        cases::ALL.iter().for_each(|case| println!("  {:16} {}", case.name, case.title));
        println!("servers:");
        Kind::ALL.iter().for_each(|kind| println!("  {}", kind.name()));
        return Ok(());
    }
    // The servers have it from here.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let programs = Programs::find()?;
    let mut servers = arguments.servers.clone();
    servers.retain(|kind| arguments.cases.iter().any(|case| case.is_for(*kind)));
    servers.retain(|kind| match kind.absent() {
        None => true,
        Some(why) => {
            eprintln!("{}: not measured: {why}", kind.name());
            false
        }
    });
    let mut answers = Vec::new();
    for case in &arguments.cases {
        let answer = ask(case, &servers, &programs, &arguments)?;
        // Why nobody could be asked was said above.
        answers.extend((!answer.servers.is_empty()).then_some(answer));
    }
    print!("{}", if arguments.json { report::json(&answers) } else { report::markdown(&answers) });
    if arguments.effort.quick {
        return answers.iter().try_for_each(works);
    }
    if !arguments.json {
        print!("{}", report::bars(&answers));
    }
    match arguments.docs {
        Some(docs) => report::write_pages(&docs, answers),
        None => Ok(()),
    }
}

/// Asks each server in turn, and again, so that what else happens on the machine happens to all.
fn ask(case: &'static Case, servers: &[Kind], programs: &Programs, arguments: &Arguments) -> Result<Answer> {
    let servers: Vec<_> = servers.iter().copied().filter(|kind| case.is_for(*kind)).collect();
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
                // A peer that can't do it is a result; ours that can't is an error.
                Err(error) if kind.is_peer() && !arguments.effort.quick => eprintln!("{error:#}"),
                Err(error) => return Err(error),
            }
        }
    }
    let servers = servers.into_iter().zip(rounds.iter().map(|rounds| Figures::over(rounds))).collect();
    Ok(Answer { case, servers })
}

/// Whether a case has a figure for every server, and no fault but such as are not ours.
fn works(answer: &Answer) -> Result<()> {
    for (kind, figures) in &answer.servers {
        let of = || format!("{} of {}", answer.case.name, kind.name());
        ensure!(figures.of(answer.case.main).is_some(), "{} has no figure", of());
        for fault in FAULTS {
            let count = figures.of(fault).unwrap_or(0.0);
            ensure!(count == 0.0 || kind.is_foreign(), "{}: {count} {}", of(), fault.name());
        }
    }
    Ok(())
}
