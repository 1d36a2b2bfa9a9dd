//! The hub with thousands of clients: it frees everything when they leave, serves them fairly, and ends all streams
//! properly.
//!
//! A program of its own that runs one test at a time, as the clients need most of the files that a process may open.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a helper of a test may unwrap as the test itself does")]

mod come_and_go;
mod drain;
mod fairness;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidecast_test::Program;
use tokio::sync::{Mutex, MutexGuard};

const TIDECAST: Program = Program::new(env!("CARGO_BIN_EXE_tidecast"));

static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits until no other test runs.
async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

/// Returns how many clients fit into this process' limit of open files, up to the wanted number.
fn as_many_as_fit(wanted: usize) -> usize {
    const OWN_FILES: u64 = 1_000;
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fit = wanted.min(usize::try_from(files.saturating_sub(OWN_FILES)).unwrap_or(usize::MAX));
    if fit < wanted {
        println!("{fit} clients and not {wanted}: there may be {files} files");
    }
    fit
}
