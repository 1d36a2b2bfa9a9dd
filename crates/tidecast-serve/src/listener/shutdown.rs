//! Stopping by signals.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGTERM and SIGINT from now on. The future completes at the first of them; a second one ends the process at
/// once.
///
/// SIGHUP is logged and otherwise ignored: its default action would end the process, without an end of its streams, when a
/// terminal is closed.
///
/// # Errors
///
/// Those of the system, if it can't listen for a signal.
pub fn signals() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let name = loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                _ = hangup.recv() => {
                    tracing::warn!("ignored SIGHUP; SIGTERM stops the server");
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
            #[expect(clippy::exit, reason = "a second signal asks for exactly this")]
            std::process::exit(130);
        });
    })
}
