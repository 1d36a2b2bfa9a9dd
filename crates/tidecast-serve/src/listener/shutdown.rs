//! When to stop, and when not.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGTERM and SIGINT from now on. The first one ends what is answered here; another one after it ends the
/// process at once, for whoever does not want to wait.
///
/// SIGHUP does nothing but log a line: unheard it would end the process without an end of its streams, when a terminal is
/// closed or an operator expects a program that reads its settings again.
pub(crate) fn signals() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    Ok(async move {
        let name = loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                _ = hangup.recv() => {
                    tracing::warn!("ignored SIGHUP: settings are read at start only; SIGTERM stops the hub");
                }
            }
        };
        tracing::info!(signal = name, "stopping");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("stopped at once by a second signal");
            #[expect(clippy::exit, reason = "that is what a second signal is for")]
            std::process::exit(130);
        });
    })
}
