//! `tidecast serve`, and the commands that show or check its configuration.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use tidecast_serve::{Server, Supervisor};

use super::{
    cli::LoadedSettings,
    exit::{CommandExit, exit_code},
};
use crate::{
    app::App,
    config::{Config, Settings, document},
    http::{publish::fast_path::PublishProtocol, router::Routes},
    observe::{
        telemetry,
        terminal::{self, print, print_error},
    },
};

/// Runs the hub until a signal stops it.
pub(super) fn serve(loaded: LoadedSettings) -> ExitCode {
    with_config(loaded, |config, _, warnings| {
        if let Some(obstacle) = config.obstacle() {
            anyhow::bail!(obstacle);
        }
        let tasks = Arc::new(Supervisor::default());
        telemetry::init(config.log_format, &config.log_filter, config.access_log, &tasks)?;
        let served = run_hub(config, warnings, tasks);
        telemetry::flush();
        served
    })
}

/// Checks the configuration.
pub(super) fn check_config(loaded: LoadedSettings) -> ExitCode {
    with_config(loaded, |_, _, warnings| {
        print_warnings(warnings);
        print("the configuration is valid\n")
    })
}

/// Prints the configuration in force.
pub(super) fn print_config(loaded: LoadedSettings) -> ExitCode {
    with_config(loaded, |config, settings, warnings| {
        print_warnings(warnings);
        print(&document::in_force(settings, &config))
    })
}

/// Runs a command with the configuration and its warnings, or prints every error in it.
fn with_config(
    loaded: LoadedSettings,
    command: impl FnOnce(Config, &Settings, &[String]) -> anyhow::Result<()>,
) -> ExitCode {
    let LoadedSettings { settings, mut warnings } = loaded;
    match Config::from_settings(&settings) {
        Ok(config) => {
            warnings.extend(config.warnings());
            exit_code(command(config, &settings, &warnings).map(|()| CommandExit::Done))
        }
        Err(errors) => {
            terminal::with_timeout(move || {
                print_warnings(&warnings);
                errors.into_iter().for_each(|error| print_error(format_args!("error: {error}")));
            });
            CommandExit::Usage.into()
        }
    }
}

fn print_warnings(warnings: &[String]) {
    warnings.iter().for_each(|warning| print_error(format_args!("warning: {warning}")));
}

fn run_hub(config: Config, warnings: &[String], tasks: Arc<Supervisor>) -> anyhow::Result<()> {
    let runtime = tidecast_serve::runtime().context("failed to start")?;
    runtime.block_on(async {
        // First, so that no signal is missed that comes after the hub is announced.
        let stop = tidecast_serve::signals().context("failed to listen for signals")?;
        let listener = listen(config.listen)?;
        let address = listener.local_addr().context("failed to read the address")?;
        let app = App::new(config, address, tasks)?;
        let server = Server::start(app.config.snapshot().serve_options(), app.connections.clone(), app.tasks.clone())
            .context("failed to start the threads that serve connections")?;
        app.announce(warnings);
        let (routes, publishes) = (Routes::new(&app), PublishProtocol::new(app.clone()));
        let served = server.serve_with_early_protocol(listener, routes, publishes, stop, || app.hub.close()).await;
        served.context("failed to wait for connections")
    })?;
    // Threads that still block are not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// Opens the listening socket.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    tidecast_serve::bind(address).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "is another program there? --listen ADDR:PORT chooses another",
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: --listen 0.0.0.0:PORT listens on every address of it, \
                 --listen 127.0.0.1:PORT only for programs on it"
            }
            _ => "--listen ADDR:PORT chooses another address",
        };
        anyhow::Error::new(error).context(format!("failed to listen on {address}; {remedy}"))
    })
}
