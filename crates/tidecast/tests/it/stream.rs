//! A stream as a server holds it: a subscription throughout, or a member of a reader group for as long as it can be.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tidecast::{
    Subscription,
    internals::{GroupRead, GroupWaker, LogCursor, ReaderGroups},
};

use crate::support::ready_bytes;

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl GroupWaker for Wakes {
    fn wake(&self, _key: u32) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A stream.
pub(crate) enum Stream {
    Subscription(Subscription),
    Grouped { groups: ReaderGroups, at: Option<Member> },
}

/// A stream that is in a group, or was taken out of it.
pub(crate) enum Member {
    Group { key: u32, cursor: LogCursor },
    Subscription(Box<Subscription>),
}

impl Stream {
    pub(crate) fn new(subscription: Subscription, is_grouped: bool) -> Self {
        if is_grouped {
            Self::Grouped {
                groups: ReaderGroups::new(Arc::new(Wakes::default())),
                at: Some(Member::Subscription(Box::new(subscription))),
            }
        } else {
            Self::Subscription(subscription)
        }
    }

    /// Returns everything that is ready, as it goes to the socket, in batches of `bytes_max`.
    pub(crate) fn ready_bytes(&mut self, bytes_max: usize) -> Vec<u8> {
        match self {
            Self::Subscription(subscription) => ready_bytes(subscription, bytes_max),
            Self::Grouped { groups, at } => {
                let mut bytes = Vec::new();
                *at = at.take().map(|at| at.read(groups, bytes_max, &mut bytes));
                bytes
            }
        }
    }
}

impl Member {
    /// Reads everything that is ready, and joins the group if it can.
    fn read(mut self, groups: &mut ReaderGroups, bytes_max: usize, bytes: &mut Vec<u8>) -> Self {
        loop {
            self = match self {
                Self::Group { key, cursor } => match groups.read(key, cursor, bytes_max) {
                    GroupRead::Frames { bytes: read, next, count } => {
                        groups.count_delivered(key, count.into(), read.len() as u64);
                        bytes.extend(read);
                        Self::Group { key, cursor: next }
                    }
                    GroupRead::CaughtUp => return self,
                    GroupRead::Lost => Self::Subscription(Box::new(
                        groups.into_subscription(key, cursor).expect("the reader is in the group"),
                    )),
                },
                Self::Subscription(mut subscription) => {
                    bytes.extend(ready_bytes(&mut subscription, bytes_max));
                    match groups.attach(*subscription) {
                        Ok((key, cursor)) => Self::Group { key, cursor },
                        Err(subscription) => return Self::Subscription(subscription),
                    }
                }
            };
        }
    }
}
