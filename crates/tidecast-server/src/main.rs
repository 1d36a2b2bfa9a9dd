//! The hub: a program around the engine, with HTTP in front.
//!
//! The files in the order in which a request meets them: the command line becomes a [`config`], the [`app`] is built
//! from it, [`listen`] accepts connections on guarded [`socket`]s, [`access`] and [`admission`] let requests in, and a
//! file of [`routes`] answers each. [`shutdown`] ends it.

mod cli;
mod config;
mod units;

mod app;

mod listen;
mod socket;

mod access;
mod admission;
mod refused;
mod routes;

mod publish;

mod metrics;
mod shutdown;
mod telemetry;

use std::process::ExitCode;

use anyhow::Context;

/// The conventional exit status for a command line that can't be followed (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way as well, and are no mistake.
            let status = if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return status;
        }
    };
    let config = match config::Config::from_arguments(arguments) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("error: {mistake}");
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: config::Config) -> anyhow::Result<()> {
    telemetry::init(config.log_format)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start threads")?;
    runtime.block_on(async {
        // Before anything is announced, so that no signal after that is missed.
        let stop = shutdown::signals()?;
        let listener = listen::bind(&config)?;
        let address = listener.local_addr().context("failed to read the address")?;
        let app = app::App::new(config, address);
        app.announce();
        listen::run(listener, app, stop).await;
        anyhow::Ok(())
    })?;
    // What is still blocked in a thread by now is nothing that anybody waits for.
    runtime.shutdown_background();
    Ok(())
}
