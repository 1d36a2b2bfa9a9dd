//! Why a stream ends, and when it has to.

use bytes::Bytes;
use tidecast::wire::final_block;
use tokio::time::Instant;

use crate::options::{StreamOptions, jitter};

/// The reason for which a server ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// Its lifetime is over.
    Lifetime,
    /// Its source has ended, for example because the hub is closed.
    SourceEnded,
}

/// The time at which a stream ends, whatever happens on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Instant,
    /// The reason.
    pub cause: EndCause,
}

impl EndCause {
    /// Returns the last block of a stream, which tells its client when to reconnect.
    #[must_use]
    pub fn last_block(self, options: &StreamOptions) -> Bytes {
        final_block(match self {
            // Lifetimes are drawn, so clients reconnect at different times without jitter.
            Self::Lifetime => options.retry,
            Self::SourceEnded => jitter(&options.end_retry),
        })
    }
}

impl Deadline {
    /// Draws the end of a stream's lifetime. Returns `None` if it has none.
    pub(crate) fn draw(options: &StreamOptions) -> Option<Self> {
        let lifetime = options.lifetime;
        let drawn = (!lifetime.is_zero()).then(|| jitter(&(lifetime / 5 * 4..=lifetime)))?;
        Some(Self { at: Instant::now().checked_add(drawn)?, cause: EndCause::Lifetime })
    }

    /// Returns whether the time has come.
    pub(crate) fn has_passed(&self) -> bool {
        Instant::now() >= self.at
    }
}
