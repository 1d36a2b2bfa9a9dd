//! Why a call to Redis brought no reply that can be used.
//!
//! What a caller must know is only this: may it have been done all the same, and is it of any use to ask again. Nothing
//! here decides what to do about it; `commands` has tried again already wherever that was safe.

use std::fmt;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Redis can't be reached, does not answer, or can't serve this just now. It is worth asking again later.
    Unavailable {
        /// What is wrong, as a lowercase fragment; has no password in it.
        reason: String,
        /// Whether the call's bytes may have reached a server that may have carried it out.
        maybe_executed: bool,
    },
    /// The server understood, and will not: `OOM`, `MISCONF`, `NOPERM`, `NOAUTH`, `NOREPLICAS`, in its own words.
    Rejected(String),
    /// A reply that makes no sense here, or an error inside a script.
    Protocol(String),
}

impl CallError {
    /// What was asked for has certainly not been done.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), maybe_executed: false }
    }

    /// What was asked for may have been done.
    pub(crate) fn maybe_executed(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), maybe_executed: true }
    }

    /// The words, whichever it is.
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
