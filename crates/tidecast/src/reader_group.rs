//! Readers that share one waker and one read: the idle streams of a reactor.
//!
//! A [`Subscription`] takes some hundred bytes. Most streams need them rarely, because they are at the end of one channel's
//! log. In a reader group, such a stream is only a [`LogCursor`]. The channel wakes the whole group once, through its
//! [`GroupWaker`], and frames at one cursor are read once for all readers there.
//!
//! For anything else (a fall behind the log, a log that starts over, a reset) the reader becomes a subscription again. A
//! group decides nothing that a subscription decides.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;

use crate::{Subscription, channel_log::ChannelLog, hub::HubState, log::LogCursor, notify::GroupWaker};

/// The result of reading on from a cursor.
#[derive(Debug)]
pub enum GroupRead {
    /// Frames that lie side by side in the log.
    Frames {
        /// The bytes of the frames, by reference.
        bytes: Bytes,
        /// The cursor after the frames.
        next: LogCursor,
        /// The number of frames.
        count: u32,
    },
    /// There is nothing to read.
    CaughtUp,
    /// The cursor is no longer in the log. The reader must become a [subscription](ReaderGroups::into_subscription), which
    /// knows what to tell it.
    Lost,
}

/// The groups of one reactor: one for each channel, under a key. A key is reused once its group is empty.
pub struct ReaderGroups {
    waker: Arc<dyn GroupWaker>,
    groups: Vec<Option<Group>>,
    free: Vec<u32>,
    /// The keys by the address of the log. A group keeps its log alive, so that the address stays its own.
    keys: HashMap<usize, u32>,
}

struct Group {
    log: Arc<ChannelLog>,
    hub: Arc<HubState>,
    readers: usize,
}

impl ReaderGroups {
    /// Creates an empty set of groups with their waker.
    #[must_use]
    pub fn new(waker: Arc<dyn GroupWaker>) -> Self {
        Self { waker, groups: Vec::new(), free: Vec::new(), keys: HashMap::new() }
    }

    /// Attaches a subscription to the group of its channel, and returns the group's key and the reader's cursor.
    ///
    /// Events that were published before are still unread, and the group is not woken for them: read once after this.
    ///
    /// # Errors
    ///
    /// Returns the subscription if it is more than a cursor: it has several channels, has not started, must tell a reset or
    /// its id first, or reads the broker's history.
    pub fn attach(&mut self, subscription: Subscription) -> Result<(u32, LogCursor), Box<Subscription>> {
        let Some((log, cursor)) = subscription.log_cursor() else { return Err(Box::new(subscription)) };
        let address = Arc::as_ptr(log) as usize;
        let key = match self.keys.get(&address) {
            Some(key) => *key,
            None => {
                let group = Group { log: log.clone(), hub: subscription.hub_state().clone(), readers: 0 };
                let key = self.free.pop().unwrap_or_else(|| {
                    self.groups.push(None);
                    self.groups.len() as u32 - 1
                });
                self.groups[key as usize] = Some(group);
                self.keys.insert(address, key);
                key
            }
        };
        if let Some(Some(group)) = self.groups.get_mut(key as usize) {
            group.readers += 1;
        }
        subscription.attach(&self.waker, key);
        Ok((key, cursor))
    }

    /// Reads on from a cursor: up to `bytes_max` bytes, but at least one frame.
    ///
    /// Every reader at this cursor gets the same, so one read serves them all. Deliveries are not
    /// [counted](Self::count_delivered) here.
    #[must_use]
    pub fn read(&self, key: u32, cursor: LogCursor, bytes_max: usize) -> GroupRead {
        let Some(group) = self.group(key) else { return GroupRead::Lost };
        let (mut position, mut count) = (cursor.position, 0);
        let read = group.log.read_at(cursor, bytes_max, |frame| {
            position = frame.position;
            count += 1;
        });
        match read {
            None => GroupRead::Lost,
            Some(_) if count == 0 => GroupRead::CaughtUp,
            Some((bytes, next)) => GroupRead::Frames { bytes, next: LogCursor { next, position, ..cursor }, count },
        }
    }

    /// Counts events that readers of a group were given.
    pub fn count_delivered(&self, key: u32, frames: u64, bytes: u64) {
        if let Some(group) = self.group(key) {
            group.log.count_delivered(frames, bytes);
        }
    }

    /// Makes a reader a subscription again, at its cursor. The subscription is ready to be polled.
    ///
    /// Returns `None` if the group is empty.
    #[must_use]
    pub fn into_subscription(&mut self, key: u32, cursor: LogCursor) -> Option<Subscription> {
        let group = self.group(key)?;
        let (log, hub) = (group.log.clone(), group.hub.clone());
        let subscription = Subscription::from_group(hub, log, cursor, &self.waker, key);
        self.remove_reader(key);
        Some(subscription)
    }

    /// Removes a reader from its group and from the channel.
    pub fn leave(&mut self, key: u32) {
        let Some(group) = self.group(key) else { return };
        group.log.leave_group(&self.waker, key, group.hub.now());
        group.hub.count_left();
        self.remove_reader(key);
    }

    /// Returns the number of readers in a group.
    #[must_use]
    pub fn readers(&self, key: u32) -> usize {
        self.group(key).map_or(0, |group| group.readers)
    }

    fn group(&self, key: u32) -> Option<&Group> {
        self.groups.get(key as usize)?.as_ref()
    }

    fn remove_reader(&mut self, key: u32) {
        let Some(slot) = self.groups.get_mut(key as usize) else { return };
        let Some(group) = slot else { return };
        group.readers -= 1;
        if group.readers == 0 {
            self.keys.remove(&(Arc::as_ptr(&group.log) as usize));
            *slot = None;
            self.free.push(key);
        }
    }
}

impl fmt::Debug for ReaderGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderGroups").field("groups", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Drop for ReaderGroups {
    fn drop(&mut self) {
        for key in 0..self.groups.len() as u32 {
            for _ in 0..self.readers(key) {
                self.leave(key);
            }
        }
    }
}
