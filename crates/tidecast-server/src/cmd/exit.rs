//! The exit status of commands.

use std::process::ExitCode;

use crate::observe::terminal::{self, print_error};

/// The conventional exit status for an invalid command line (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// The end of a command that did not fail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    /// A part failed, and the command has named it.
    Failed,
    /// A part may or may not be done, and the command has named it.
    Unknown,
    /// The command line is invalid, and the command has said why.
    Usage,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Unknown => Self::from(2),
            Exit::Usage => Self::from(EXIT_USAGE),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// Returns the exit status of a command, and prints its error.
pub(super) fn exit_code(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::with_timeout(move || print_error(format_args!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Prints an error in the command line that the parser could not detect.
pub(super) fn usage_error(error: impl std::fmt::Display) -> anyhow::Result<Exit> {
    print_error(format_args!("error: {error}"));
    Ok(Exit::Usage)
}
