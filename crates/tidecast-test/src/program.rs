//! The program `tidecast`, run as users run it.

use std::{
    env,
    env::consts::EXE_SUFFIX,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{Finished, HubProcess, Process};

/// The variable with further arguments of every `tidecast serve`, separated by spaces. With it, one test program can be
/// run against hubs of several configurations.
pub const EXTRA_SERVE_ARGUMENTS: &str = "TIDECAST_TEST_SERVE_ARGUMENTS";

/// The program, whose path cargo tells to the tests of its own package only: `env!("CARGO_BIN_EXE_tidecast")`.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    path: Option<&'static str>,
}

impl Program {
    /// The program that `TIDECAST_BIN` names, or else the one that was built beside the test.
    pub const BUILT: Self = Self { path: None };

    /// Returns the program at this path.
    pub const fn new(path: &'static str) -> Self {
        Self { path: Some(path) }
    }

    /// Returns a command with these arguments whose output is captured, in an environment without settings of the program.
    pub fn command(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path.map_or_else(built, PathBuf::from));
        for (name, _) in env::vars_os() {
            let shown = name.to_string_lossy();
            if ["TIDECAST_", "SSE_REDIS_", "REDIS_URL"].iter().any(|start| shown.starts_with(start)) {
                command.env_remove(name);
            }
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns the command `tidecast serve` with these arguments and those of [`EXTRA_SERVE_ARGUMENTS`].
    pub fn serve_command(self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["serve"]);
        command.args(env::var(EXTRA_SERVE_ARGUMENTS).unwrap_or_default().split_whitespace()).args(arguments);
        command
    }

    /// Starts a hub with these arguments, on a free port unless they name one, and waits until it listens.
    pub fn serve(self, arguments: &[&str]) -> HubProcess {
        self.serve_with(arguments, |command| command)
    }

    /// Starts a hub after `change` has added to its command, for example variables of its environment.
    pub fn serve_with(self, arguments: &[&str], change: impl FnOnce(&mut Command) -> &mut Command) -> HubProcess {
        let mut command = self.serve_command(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        change(&mut command);
        let key = arguments.iter().position(|argument| *argument == "--publish-key");
        HubProcess::start(&mut command, key.map(|at| arguments[at + 1]))
    }

    /// Starts a command.
    pub fn start(self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// Runs a command to its end.
    pub fn run(self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    /// Runs a command to its end with these bytes as its standard input.
    pub fn run_with_input(self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut process = Process::start(self.command(arguments).stdin(Stdio::piped()));
        // A command that refuses its arguments ends without reading.
        let _ = process.stdin().write_all(input);
        process.finish()
    }
}

fn built() -> PathBuf {
    env::var_os("TIDECAST_BIN").map(PathBuf::from).unwrap_or_else(|| {
        let test = env::current_exe().expect("the path of the test program");
        let folder = test.parent().and_then(|folder| folder.parent()).expect("a target folder");
        let program = folder.join(format!("tidecast{EXE_SUFFIX}"));
        assert!(program.exists(), "no hub at {}: run `cargo build --package tidecast-server`", program.display());
        program
    })
}
