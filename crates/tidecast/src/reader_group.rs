//! ReaderGroups: where the subscriptions of a reactor stand that have nothing to do but to wait for the next frame of a channel.
//!
//! A [`Subscription`] has a bell, a waker and a lane a channel, some hundred bytes. Most streams need none of it for most
//! of their time: they are at the end of one channel's log. At a tap such a stream is a [`LogCursor`], and a channel tells the
//! whole reactor once, by its [`GroupWaker`], that there is something to read. What lies at one spot is read once for all
//! that stand there.
//!
//! For whatever else may come, a fall behind the log, a log that starts over, a reset, a spot is made a subscription
//! again: here nothing is decided that a subscription decides.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;

use crate::{Position, Subscription, channel_log::ChannelLog, hub::Inner};

/// Whom a channel tells that those who stand at its tap have something to read.
///
/// Publishers call it, from any thread, with no lock held. It must be quick, and must not wait for anything that a
/// publisher may hold.
pub trait GroupWaker: Send + Sync + 'static {
    /// The channel with this key has news. The key may be one that is used no more, or again by another channel: who is
    /// told looks, and finds nothing.
    fn wake(&self, key: u32);
}

/// Where a reader stands in its channel's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCursor {
    pub(crate) life: u64,
    /// The local number that is to be read next.
    pub(crate) next: u64,
    /// Of the event before it.
    pub(crate) position: Position,
}

/// What came of reading on from a spot.
#[derive(Debug)]
pub enum GroupRead {
    /// Frames that lie side by side in the log.
    Frames {
        /// Their bytes, by reference.
        bytes: Bytes,
        /// Where the reader stands after them.
        next: LogCursor,
        /// How many frames it is.
        count: u32,
    },
    /// There is nothing to read.
    CaughtUp,
    /// The spot is no longer in the log: [lift](ReaderGroups::into_subscription) the reader, whose subscription knows what to tell it.
    Lost,
}

/// The taps of one reactor, each under a key: a small number that is used again once nobody stands there.
pub struct ReaderGroups {
    mailbox: Arc<dyn GroupWaker>,
    taps: Vec<Option<Tap>>,
    free: Vec<u32>,
    /// The key of a log, by its address: a tap keeps it from being another's.
    keys: HashMap<usize, u32>,
}

struct Tap {
    log: Arc<ChannelLog>,
    hub: Arc<Inner>,
    readers: usize,
}

impl ReaderGroups {
    /// No taps, whose channels are to tell this mailbox.
    #[must_use]
    pub fn new(mailbox: Arc<dyn GroupWaker>) -> Self {
        Self { mailbox, taps: Vec::new(), free: Vec::new(), keys: HashMap::new() }
    }

    /// Has a subscription stand at the tap of its channel, and answers with the key of the tap and its spot.
    ///
    /// What was published before is still to be read: read after this, without waiting to be told.
    ///
    /// # Errors
    ///
    /// The subscription, where it can't stand: it has several channels, has not begun, has a reset or its id to tell
    /// first, or reads from the broker's history.
    pub fn attach(&mut self, subscription: Subscription) -> Result<(u32, LogCursor), Box<Subscription>> {
        let Some((log, spot)) = subscription.spot() else { return Err(Box::new(subscription)) };
        let address = Arc::as_ptr(log) as usize;
        let key = match self.keys.get(&address) {
            Some(key) => *key,
            None => {
                let tap = Tap { log: log.clone(), hub: subscription.inner().clone(), readers: 0 };
                let key = self.free.pop().unwrap_or_else(|| {
                    self.taps.push(None);
                    self.taps.len() as u32 - 1
                });
                self.taps[key as usize] = Some(tap);
                self.keys.insert(address, key);
                key
            }
        };
        if let Some(Some(tap)) = self.taps.get_mut(key as usize) {
            tap.readers += 1;
        }
        subscription.stand(&self.mailbox, key);
        Ok((key, spot))
    }

    /// Reads on from a spot, up to a number of bytes but at least one frame.
    ///
    /// Whoever stands at the same spot is given the same, so one reading serves them all. Nothing is
    /// [counted](Self::count_delivered) here.
    #[must_use]
    pub fn read(&self, key: u32, spot: LogCursor, bytes_max: usize) -> GroupRead {
        let Some(tap) = self.tap(key) else { return GroupRead::Lost };
        let (mut position, mut count) = (spot.position, 0);
        let read = tap.log.read_tap(spot, bytes_max, |frame| {
            position = frame.position;
            count += 1;
        });
        match read {
            None => GroupRead::Lost,
            Some(_) if count == 0 => GroupRead::CaughtUp,
            Some((bytes, next)) => GroupRead::Frames { bytes, next: LogCursor { next, position, ..spot }, count },
        }
    }

    /// Counts what readers at a tap were given.
    pub fn count_delivered(&self, key: u32, frames: u64, bytes: u64) {
        if let Some(tap) = self.tap(key) {
            tap.log.count_delivered(frames, bytes);
        }
    }

    /// Takes a reader from its tap: it is a subscription again, at its spot, which has something to do.
    ///
    /// `None` for a key that nobody stands at.
    #[must_use]
    pub fn into_subscription(&mut self, key: u32, spot: LogCursor) -> Option<Subscription> {
        let tap = self.tap(key)?;
        let (log, hub) = (tap.log.clone(), tap.hub.clone());
        let subscription = Subscription::lifted(hub, log, spot, &self.mailbox, key);
        self.leave_tap(key);
        Some(subscription)
    }

    /// Removes a reader from its tap, and with it from the channel.
    pub fn leave(&mut self, key: u32) {
        let Some(tap) = self.tap(key) else { return };
        tap.log.leave_tap(&self.mailbox, key, tap.hub.now());
        tap.hub.count_left();
        self.leave_tap(key);
    }

    /// How many stand at a tap.
    #[must_use]
    pub fn readers(&self, key: u32) -> usize {
        self.tap(key).map_or(0, |tap| tap.readers)
    }

    fn tap(&self, key: u32) -> Option<&Tap> {
        self.taps.get(key as usize)?.as_ref()
    }

    fn leave_tap(&mut self, key: u32) {
        let Some(slot) = self.taps.get_mut(key as usize) else { return };
        let Some(tap) = slot else { return };
        tap.readers -= 1;
        if tap.readers == 0 {
            self.keys.remove(&(Arc::as_ptr(&tap.log) as usize));
            *slot = None;
            self.free.push(key);
        }
    }
}

impl fmt::Debug for ReaderGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderGroups").field("taps", &self.keys.len()).finish_non_exhaustive()
    }
}

/// Whoever stands at a tap when all taps go leaves its channel.
impl Drop for ReaderGroups {
    fn drop(&mut self) {
        for key in 0..self.taps.len() as u32 {
            for _ in 0..self.readers(key) {
                self.leave(key);
            }
        }
    }
}
