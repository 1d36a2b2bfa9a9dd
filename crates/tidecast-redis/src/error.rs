//! The error of a call to Redis.

use std::fmt;

use crate::address::Address;

/// Why a call brought no usable reply. `commands` has already retried if that was safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Redis cannot be reached, does not reply, or cannot serve the call now. A later call may succeed.
    Unavailable {
        /// A lowercase fragment without a password.
        reason: String,
        /// The call may have reached a server, which may have executed it.
        maybe_executed: bool,
    },
    /// The server rejected the call, for example by `OOM`, `MISCONF`, `NOPERM` or `NOAUTH`. The text is the server's.
    Rejected(String),
    /// The reply is not one that this call can have, or a script failed.
    Protocol(String),
}

impl CallError {
    /// Creates the error of a call that was not executed.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), maybe_executed: false }
    }

    /// Creates the error of a connection to a server.
    pub(crate) fn at(address: &Address, error: impl fmt::Display) -> Self {
        Self::unavailable(format!("{address}: {error}"))
    }

    /// Creates the error of a call that may have been executed.
    pub(crate) fn maybe_executed(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), maybe_executed: true }
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unavailable { reason, .. } | Self::Rejected(reason) | Self::Protocol(reason) => reason,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for CallError {}
