//! The commands of the program.
//!
//! [`cli`] parses the command line. [`serve`] runs the hub. `publish`, `tail` and `bench` are clients that speak to a hub
//! over HTTP, through [`client`], as any other program would; `ticket` signs tickets.

mod bench;
mod cli;
mod client;
mod exit;
mod publish;
mod serve;
mod style;
mod tail;
mod ticket;

use std::process::ExitCode;

use self::{
    cli::{Document, Invocation},
    exit::{CommandExit, exit_code},
};
use crate::{
    config::document,
    observe::{metrics, terminal::print},
};

/// Runs the command that the arguments of this process name.
pub(crate) fn run() -> ExitCode {
    let invocation = match cli::parse() {
        Ok(invocation) => invocation,
        Err(error) => {
            // The parser returns help and version as errors too.
            let status = if error.use_stderr() { CommandExit::Usage.into() } else { ExitCode::SUCCESS };
            let _ = error.print();
            return status;
        }
    };
    match invocation {
        Invocation::Serve(loaded) => serve::serve(loaded),
        Invocation::CheckConfig(loaded) => serve::check_config(loaded),
        Invocation::PrintConfig(loaded) => serve::print_config(loaded),
        Invocation::Publish(arguments) => exit_code(block_on(publish::run(*arguments))),
        Invocation::Tail(arguments) => exit_code(block_on(tail::run(*arguments))),
        Invocation::Ticket(arguments) => exit_code(ticket::run(&arguments)),
        Invocation::Bench(arguments) => exit_code(block_on(bench::run(*arguments))),
        Invocation::Document(which) => {
            let document = match which {
                Document::Metrics => metrics::page(),
                Document::Reference => document::reference(),
                Document::Sample => document::sample(),
            };
            exit_code(print(&document).map(|()| CommandExit::Done))
        }
    }
}

/// Runs a client command on one thread, which is enough: it has one connection, or many that mostly wait.
fn block_on(command: impl Future<Output = anyhow::Result<CommandExit>>) -> anyhow::Result<CommandExit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(command);
    // A thread that still reads standard input is not waited for.
    runtime.shutdown_background();
    exit
}
