//! The hub: the program `tidecast`, which serves the engine over HTTP.
//!
//! The folders are the stages of a request: [`cmd`] parses the command line, [`config`] the settings, and [`app`] is built
//! from them. The connections are served by `tidecast-serve`, the requests by [`http`], after [`auth`] has checked their
//! rights and [`streams`] the limits. [`observe`] has the metrics and logs, `ui` the console.
//!
//! This is a library only for [`main`](run) and the fuzz targets, not for other programs.

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

/// Runs the program with the arguments of this process.
pub fn run() -> std::process::ExitCode {
    cmd::run()
}
