//! The subscribers of a publisher and their channels.

use std::{
    collections::{HashMap, HashSet},
    fmt, slice,
    sync::Arc,
};

use smallvec::SmallVec;

use super::feed_log::FeedLog;
use crate::Channel;

/// A subscriber of a [`Publisher`](crate::Publisher) and its properties. Cheap to clone.
///
/// It may have left meanwhile.
pub struct Subscriber<P>(pub(super) Arc<SubscriberEntry<P>>);

pub(super) struct SubscriberEntry<P> {
    pub(super) key: u64,
    pub(super) properties: P,
    /// The channels, as it named them.
    pub(super) channels: Channels,
    pub(super) log: Arc<FeedLog>,
}

pub(super) type Channels = SmallVec<[Channel; 2]>;

/// The subscribers of one channel, in the order in which they came. Shared with publishes in progress, and copied only if
/// somebody comes or leaves during one.
pub(super) type List<P> = Arc<Vec<Arc<SubscriberEntry<P>>>>;

pub(super) type Lists<P> = SmallVec<[List<P>; 2]>;

pub(super) struct SubscriberTable<P> {
    /// A channel is here while it has a subscriber.
    lists: HashMap<Channel, List<P>>,
    /// Every subscriber with a feed, even those that are in no channel any more. This keeps the properties until they can
    /// be dropped without the lock.
    all: HashMap<u64, Arc<SubscriberEntry<P>>>,
    /// No subscriber is accepted any more.
    closed: bool,
}

impl<P> Subscriber<P> {
    /// Returns the properties with which it subscribed.
    #[must_use]
    pub fn properties(&self) -> &P {
        &self.0.properties
    }

    /// Returns the number of unread events, without the initial ones.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.log.len()
    }
}

impl<P> SubscriberTable<P> {
    /// Adds a subscriber. Returns whether it was accepted.
    pub(super) fn join(&mut self, entry: Arc<SubscriberEntry<P>>) -> bool {
        if self.closed {
            return false;
        }
        for channel in &entry.channels {
            match self.lists.get_mut(channel) {
                Some(list) => Arc::make_mut(list).push(entry.clone()),
                None => {
                    self.lists.insert(channel.clone(), Arc::new(vec![entry.clone()]));
                }
            }
        }
        self.all.insert(entry.key, entry);
        true
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Removes a subscriber from all its channels and returns it, to be dropped without the lock.
    pub(super) fn leave(&mut self, key: u64) -> Option<Arc<SubscriberEntry<P>>> {
        let entry = self.all.remove(&key)?;
        for channel in &entry.channels {
            self.remove(channel, slice::from_ref(&entry));
        }
        Some(entry)
    }

    /// Removes subscribers from a channel. Returns how many places were removed.
    pub(super) fn remove(&mut self, channel: &Channel, entries: &[Arc<SubscriberEntry<P>>]) -> usize {
        let Some(list) = self.lists.get_mut(channel) else { return 0 };
        let before = list.len();
        match entries {
            [] => return 0,
            [one] => Arc::make_mut(list).retain(|entry| !Arc::ptr_eq(entry, one)),
            many => {
                let many: HashSet<_> = many.iter().map(Arc::as_ptr).collect();
                Arc::make_mut(list).retain(|entry| !many.contains(&Arc::as_ptr(entry)));
            }
        }
        let after = list.len();
        if after == 0 {
            self.lists.remove(channel);
        }
        before - after
    }

    /// Returns the subscribers of each of these channels.
    pub(super) fn lists(&self, channels: &[Channel]) -> Lists<P> {
        channels.iter().map(|channel| self.lists.get(channel).cloned().unwrap_or_default()).collect()
    }

    /// Removes every subscriber.
    pub(super) fn drain(&mut self) -> Vec<Arc<SubscriberEntry<P>>> {
        self.lists.clear();
        self.all.drain().map(|(_, entry)| entry).collect()
    }
}

impl<P> Default for SubscriberTable<P> {
    fn default() -> Self {
        Self { lists: HashMap::new(), all: HashMap::new(), closed: false }
    }
}

impl<P> fmt::Debug for SubscriberTable<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberTable")
            .field("channels", &self.lists.len())
            .field("subscribers", &self.all.len())
            .finish()
    }
}

impl<P> Clone for Subscriber<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: fmt::Debug> fmt::Debug for Subscriber<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("properties", self.properties()).finish_non_exhaustive()
    }
}
