//! `cargo xtask`: everything that a developer or a build machine runs.
//!
//! Each command is a file of that name, which calls other programs and reports the outcome. Checks of the repository
//! itself are in `tidy` and run with the other tests.

mod api;
mod bench;
mod callgrind;
mod clients;
mod docs;
mod environment;
mod fuzz;
mod minimal_versions;
mod packages;
mod peers;
mod prose;
mod python;
mod quiet_services;
mod report;
mod setup;
mod test;
mod tools;
mod workspace;

#[cfg(test)]
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{report::Outcome, workspace::Workspace};

/// Run the tools of Tidecast's developers
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need, if it is missing
    Setup,
    /// Run every check that a change must pass
    Test(test::Args),
    /// Build the Python package and test it
    Python,
    /// Test third-party clients against the hub
    Clients(clients::Args),
    /// Write the documents that are generated from the program's declarations
    Docs,
    /// Compare the public items of the libraries with their lists
    Api(api::Args),
    /// Find sentences that break the rules of prose
    Prose(prose::Args),
    /// Build the hub for release and measure it
    Bench(bench::Args),
    /// Run the fuzz targets with libFuzzer (needs a nightly toolchain)
    Fuzz(fuzz::Args),
    /// Compare the instructions of each operation with a baseline
    Callgrind(callgrind::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Workspace::open().and_then(|workspace| match &cli.command {
        Command::Setup => setup::run(&workspace),
        Command::Test(args) => test::run(&workspace, args),
        Command::Python => python::alone(&workspace),
        Command::Clients(args) => clients::alone(&workspace, args).map(say_if_skipped),
        Command::Docs => docs::run(&workspace),
        Command::Prose(args) => prose::run(&workspace, args),
        Command::Bench(args) => bench::run(&workspace, args),
        Command::Fuzz(args) => fuzz::run(&workspace, args),
        Command::Api(args) => api::run(&workspace, args).map(say_if_skipped),
        Command::Callgrind(args) => callgrind::run(&workspace, args).map(say_if_skipped),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say_if_skipped(outcome: Outcome) {
    if let Outcome::Skipped(why) = outcome {
        println!("skipped: {why}");
    }
}
