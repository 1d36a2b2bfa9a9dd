//! The hub: a program around the engine, with HTTP in front.
//!
//! The command line becomes a [`config`], and the [`app`] is built from it. `tidecast-serve` accepts connections and hands
//! their requests to [`http`], where [`auth`] and [`streams`] let them in. [`cmd`] has the commands; most of them are
//! clients of a hub.
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

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use tidecast_serve::{Server, Tasks};

use crate::{
    app::App,
    cmd::{
        Exit,
        cli::{self, Document, Invocation, LoadedSettings},
    },
    config::{Config, Settings, document},
    http::{publish::fast_path::PublishProtocol, router::Routes},
    observe::{
        metrics, telemetry,
        terminal::{self, print, print_error},
    },
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
    let runtime = tidecast_serve::runtime().context("failed to start")?;
    runtime.block_on(async {
        // First, so that no signal is missed that comes after the hub is announced.
        let stop = tidecast_serve::signals().context("failed to listen for signals")?;
        let listener = listen(config.listen)?;
        let address = listener.local_addr().context("failed to read the address")?;
        let app = App::new(config, address, tasks)?;
        let server = Server::start(app.config.serve_options(), app.connections.clone(), app.tasks.clone())
            .context("failed to start the threads that serve connections")?;
        app.announce(warnings);
        let (routes, publishes) = (Routes::new(&app), PublishProtocol::new(app.clone()));
        let served = server.serve(listener, routes, publishes, stop, || app.hub.close()).await;
        served.context("failed to wait for connections")
    })?;
    // Does not wait for blocking calls: nobody needs their results any more.
    runtime.shutdown_background();
    Ok(())
}

/// Opens the listening socket.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    tidecast_serve::bind(address).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "is another program there? --listen ADDR:PORT chooses another",
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: --listen 0.0.0.0:PORT takes connections at each that it has, \
                 --listen 127.0.0.1:PORT those from the machine itself"
            }
            _ => "--listen ADDR:PORT chooses another address",
        };
        anyhow::Error::new(error).context(format!("failed to listen on {address}; {remedy}"))
    })
}
