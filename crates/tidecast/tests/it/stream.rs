//! A stream as a server holds it: as a subscription throughout, or at a tap for as long as it can stand there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tidecast::{
    Subscription,
    internals::{GroupRead, GroupWaker, LogCursor, ReaderGroups},
};

use crate::support::ready_bytes;

/// Counts how often it was told.
#[derive(Default)]
pub(crate) struct Rung(AtomicUsize);

impl Rung {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl GroupWaker for Rung {
    fn wake(&self, _key: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// See the module.
pub(crate) enum Stream {
    Subscription(Subscription),
    Standing { taps: ReaderGroups, at: Option<At> },
}

/// What is known of a stream that stands at a tap, or was lifted from it.
pub(crate) enum At {
    Tap { key: u32, spot: LogCursor },
    Lifted(Box<Subscription>),
}

impl Stream {
    pub(crate) fn new(subscription: Subscription, stands: bool) -> Self {
        if stands {
            Self::Standing {
                taps: ReaderGroups::new(Arc::new(Rung::default())),
                at: Some(At::Lifted(Box::new(subscription))),
            }
        } else {
            Self::Subscription(subscription)
        }
    }

    /// All that is ready, as it goes to the socket; batches of `bytes_max`.
    pub(crate) fn ready_bytes(&mut self, bytes_max: usize) -> Vec<u8> {
        match self {
            Self::Subscription(subscription) => ready_bytes(subscription, bytes_max),
            Self::Standing { taps, at } => {
                let mut bytes = Vec::new();
                *at = at.take().map(|at| at.read(taps, bytes_max, &mut bytes));
                bytes
            }
        }
    }
}

impl At {
    /// Reads all that is ready, and stands where it then can.
    fn read(mut self, taps: &mut ReaderGroups, bytes_max: usize, bytes: &mut Vec<u8>) -> Self {
        loop {
            self = match self {
                Self::Tap { key, spot } => match taps.read(key, spot, bytes_max) {
                    GroupRead::Frames { bytes: read, next, count } => {
                        taps.count_delivered(key, count.into(), read.len() as u64);
                        bytes.extend(read);
                        Self::Tap { key, spot: next }
                    }
                    GroupRead::CaughtUp => return self,
                    GroupRead::Lost => {
                        Self::Lifted(Box::new(taps.into_subscription(key, spot).expect("it stands there")))
                    }
                },
                Self::Lifted(mut subscription) => {
                    bytes.extend(ready_bytes(&mut subscription, bytes_max));
                    match taps.attach(*subscription) {
                        Ok((key, spot)) => Self::Tap { key, spot },
                        Err(subscription) => return Self::Lifted(subscription),
                    }
                }
            };
        }
    }
}
