//! The exit status of commands.

use std::process::ExitCode;

use crate::observe::terminal::{self, print_error};

/// The conventional exit status for an invalid command line (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// The end of a command that did not fail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandExit {
    Done,
    /// A part failed, and the command has named it.
    Failed,
    /// A part may or may not be done, and the command has named it.
    Unknown,
    /// The command line is invalid, and the command has said why.
    Usage,
    Interrupted,
}

impl From<CommandExit> for ExitCode {
    fn from(exit: CommandExit) -> Self {
        match exit {
            CommandExit::Done => Self::SUCCESS,
            CommandExit::Failed => Self::FAILURE,
            CommandExit::Unknown => Self::from(2),
            CommandExit::Usage => Self::from(EXIT_USAGE),
            CommandExit::Interrupted => Self::from(130),
        }
    }
}

/// Returns the exit status of a command, and prints its error.
pub(super) fn exit_code(result: anyhow::Result<CommandExit>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::with_timeout(move || print_error(format_args!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Prints an error in the command line that the parser could not detect.
pub(super) fn usage_error(error: impl std::fmt::Display) -> anyhow::Result<CommandExit> {
    print_error(format_args!("error: {error}"));
    Ok(CommandExit::Usage)
}
