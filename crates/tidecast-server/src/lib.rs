//! The hub: a program around the engine, with HTTP in front.
//!
//! The files in the order in which a request meets them: the command line becomes a [`config`], the [`app`] is built
//! from it, [`listen`] accepts connections and hands them to [`workers`], [`connection`] serves each on a guarded
//! [`socket`], [`auth`] and [`streams`] let requests in, and a file of [`http`] answers each. [`shutdown`] ends it.
//! [`cmd`] has the commands; most of them are clients of a hub.
//!
//! A stream whose head is written leaves all of this with its socket: [`detach`] says which, a [`reactor`] serves it.
//!
//! Nothing here is for other programs: it is a library only for [`main`](run) and the fuzz targets.

#![cfg_attr(not(any(test, feature = "fuzzing")), deny(clippy::print_stdout, clippy::print_stderr))]

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod allocator;

mod auth;
mod cmd;
mod config;
mod http;
mod limits;
mod observe;
mod streams;

mod app;

#[path = "../../tidecast-serve/src/lib.rs"]
mod serve;

use self::serve::{
    connection,
    connection::{cork, head_timer},
    detach, lazy_timer as deadline, listener as listen,
    listener::{connection_limit as places, shutdown, socket, workers},
    reactor, supervise,
};

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;

use crate::{
    cmd::{
        Exit,
        cli::{self, Document, Invocation, LoadedSettings},
    },
    config::{Config, Settings, document},
    observe::{
        metrics, telemetry,
        terminal::{self, print, print_error},
    },
    supervise::Tasks,
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
        Invocation::Serve(loaded) => configured(loaded, |config, _, warnings| serve(config, warnings)),
        Invocation::CheckConfig(loaded) => configured(loaded, |_, _, warnings| {
            warn(warnings);
            print("the configuration has no mistakes\n")
        }),
        Invocation::PrintConfig(loaded) => configured(loaded, |config, settings, warnings| {
            warn(warnings);
            print(&document::in_force(settings, &config))
        }),
        Invocation::Publish(arguments) => exit(cmd::run(cmd::publish::run(*arguments))),
        Invocation::Tail(arguments) => exit(cmd::run(cmd::tail::run(*arguments))),
        Invocation::Ticket(arguments) => exit(cmd::ticket::run(&arguments)),
        Invocation::Bench(arguments) => exit(cmd::run(cmd::bench::run(*arguments))),
        Invocation::Document(Document::Metrics) => finished(print(&metrics::page())),
        Invocation::Document(Document::Reference) => finished(print(&document::reference())),
        Invocation::Document(Document::Sample) => finished(print(&document::sample())),
    }
}

/// Does something with a configuration and what there is to warn of, or tells every mistake in it.
fn configured(
    loaded: LoadedSettings,
    act: impl FnOnce(Config, &Settings, &[String]) -> anyhow::Result<()>,
) -> ExitCode {
    let LoadedSettings { settings, mut mistakes, mut warnings } = loaded;
    match Config::from_settings(&settings) {
        Ok(config) if mistakes.is_empty() => {
            warnings.extend(config.warnings());
            return finished(act(config, &settings, &warnings));
        }
        Ok(_) => {}
        Err(more) => mistakes.extend(more),
    }
    terminal::with_timeout(move || {
        warn(&warnings);
        mistakes.into_iter().for_each(|mistake| print_error(format_args!("error: {mistake}")));
    });
    ExitCode::from(EXIT_USAGE)
}

/// Says what `serve` would log as a warning.
fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| print_error(format_args!("warning: {warning}")));
}

fn finished(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::with_timeout(move || print_error(format_args!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn exit(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) => finished(Err(error)),
    }
}

fn serve(config: Config, warnings: &[String]) -> anyhow::Result<()> {
    if let Some(refusal) = config.obstacle() {
        anyhow::bail!(refusal);
    }
    let tasks = Arc::new(Tasks::default());
    telemetry::init(config.log_format, &config.log_filter, config.access_log, &tasks)?;
    let served = run_hub(config, warnings, tasks);
    telemetry::flush();
    served
}

fn run_hub(config: Config, warnings: &[String], tasks: Arc<Tasks>) -> anyhow::Result<()> {
    let runtime = workers::runtime().context("failed to start")?;
    runtime.block_on(async {
        // Before anything is announced, so that no signal after that is missed.
        let stop = shutdown::signals()?;
        let listener = listen::bind(&config)?;
        let address = listener.local_addr().context("failed to read the address")?;
        let app = app::App::new(config, address, tasks)?;
        let workers = Workers::start(&app.tasks).context("failed to start threads")?;
        app.announce(warnings);
        listen::run(listener, app, workers, stop).await
    })?;
    // What is still blocked in a thread by now is nothing that anybody waits for.
    runtime.shutdown_background();
    Ok(())
}
