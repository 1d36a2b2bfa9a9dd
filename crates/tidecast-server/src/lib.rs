//! The hub: a program around the engine, with HTTP in front.
//!
//! The files in the order in which a request meets them: the command line becomes a [`config`], the [`app`] is built
//! from it, [`listen`] accepts connections and hands them to [`workers`], [`connection`] serves each on a guarded
//! [`socket`], [`access`], [`ticket`] and [`admission`] let requests in, and a file of [`routes`] answers each. [`shutdown`] ends it.
//! [`client`] is the other side: commands that speak to a hub.
//!
//! A stream whose head is written leaves all of this with its socket: [`detach`] says which, a [`reactor`] serves it.
//!
//! Nothing here is for other programs: it is a library only for [`main`](run) and the fuzz targets.

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod allocator;

mod cli;
mod config;
mod units;

mod bounds;

mod app;

mod connection;
mod cork;
mod deadline;
mod fast_path;
mod head_timer;
mod listen;
mod socket;
mod workers;

mod detach;
#[cfg(target_os = "linux")]
mod reactor;
#[cfg(not(target_os = "linux"))]
#[path = "reactor/absent.rs"]
mod reactor;

mod access;
mod admission;
mod body;
mod refused;
mod routes;
mod ticket;

mod publish;

mod metrics;
mod shutdown;
mod telemetry;

mod client;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    cli::{Asked, Document, Gathered},
    client::Ended,
    config::{Config, Settings, document},
    workers::Workers,
};

/// The conventional exit status for a command line that can't be followed (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    let asked = match cli::parse() {
        Ok(asked) => asked,
        Err(error) => {
            // Help and version come this way as well, and are no mistake.
            let status = if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return status;
        }
    };
    match asked {
        Asked::Serve(gathered) => configured(gathered, |config, _| serve(config)),
        Asked::CheckConfig(gathered) => configured(gathered, |config, _| {
            warn(&config);
            print("the configuration has no mistakes\n")
        }),
        Asked::PrintConfig(gathered) => configured(gathered, |config, settings| {
            warn(&config);
            print(&document::in_force(settings))
        }),
        Asked::Publish(arguments) => ended(client::run(client::publish::run(*arguments))),
        Asked::Tail(arguments) => ended(client::run(client::tail::run(*arguments))),
        Asked::Ticket(arguments) => ended(client::ticket::run(&arguments)),
        Asked::Bench(arguments) => ended(client::run(client::bench::run(*arguments))),
        Asked::Document(Document::Metrics) => finished(print(&metrics::page())),
        Asked::Document(Document::Reference) => finished(print(&document::reference())),
        Asked::Document(Document::Sample) => finished(print(&document::sample())),
    }
}

/// Does something with a configuration, or tells every mistake in it.
fn configured(gathered: Gathered, act: impl FnOnce(Config, &Settings) -> anyhow::Result<()>) -> ExitCode {
    let Gathered { settings, mut mistakes, warnings } = gathered;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    match Config::from_settings(&settings) {
        Ok(config) if mistakes.is_empty() => return finished(act(config, &settings)),
        Ok(_) => {}
        Err(more) => mistakes.extend(more),
    }
    for mistake in mistakes {
        eprintln!("error: {mistake}");
    }
    ExitCode::from(EXIT_USAGE)
}

/// Says what `serve` would log as a warning.
fn warn(config: &Config) {
    for warning in config.broker.warnings() {
        eprintln!("warning: {warning}");
    }
}

fn finished(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn ended(result: anyhow::Result<Ended>) -> ExitCode {
    match result {
        Ok(ended) => ended.into(),
        Err(error) => finished(Err(error)),
    }
}

/// Prints a document. Whoever reads only its beginning, as `head` does, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("failed to print"),
        _ => Ok(()),
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::init(config.log_format, &config.log_filter)?;
    let runtime = workers::runtime().context("failed to start")?;
    runtime.block_on(async {
        // Before anything is announced, so that no signal after that is missed.
        let stop = shutdown::signals()?;
        let listener = listen::bind(&config)?;
        let address = listener.local_addr().context("failed to read the address")?;
        let app = app::App::new(config, address)?;
        let workers = Workers::start().context("failed to start threads")?;
        app.announce();
        listen::run(listener, app, workers, stop).await
    })?;
    // What is still blocked in a thread by now is nothing that anybody waits for.
    runtime.shutdown_background();
    Ok(())
}
