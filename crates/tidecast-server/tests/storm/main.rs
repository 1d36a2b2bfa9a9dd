//! The hub with thousands of clients: nothing of them is left when they have gone, none of them holds up another, and all
//! are ended properly.
//!
//! A program of its own, so that nobody else's files count against its limit, and one test at a time for the same reason.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping, in what they share as well")]
#![allow(dead_code, unused_imports, reason = "some of what the tests share is for those that are not here")]

/// What every hub is told besides.
const SERVE: &[&str] = &[];

#[path = "../it/support/mod.rs"]
mod support;

mod come_and_go;
mod drain;
mod fairness;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Mutex, MutexGuard};

static ALONE: Mutex<()> = Mutex::const_new(());

/// Waits until no other test runs.
async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

/// As many clients as are wanted, or as this process may have files for, beside its own.
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
