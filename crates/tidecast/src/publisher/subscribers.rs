//! Who is in which channel.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use smallvec::SmallVec;

use super::{Channels, feed_log::FeedLog};
use crate::Channel;

/// Somebody who is there: what is known about them.
///
/// Cheap to clone. It may have left meanwhile.
pub struct Subscriber<P>(pub(super) Arc<Member<P>>);

pub(super) struct Member<P> {
    /// Under which it leaves.
    pub(super) key: u64,
    pub(super) properties: P,
    /// As it named them.
    pub(super) channels: Channels,
    pub(super) log: Arc<FeedLog>,
}

/// Those in one channel, in the order in which they came. Shared with those who publish, and copied only where somebody
/// comes or goes while one does.
pub(super) type List<P> = Arc<Vec<Arc<Member<P>>>>;

pub(super) type Lists<P> = SmallVec<[List<P>; 2]>;

/// See the module.
pub(super) struct Members<P> {
    /// A channel is here while somebody is in it.
    lists: HashMap<Channel, List<P>>,
    /// Everybody who has a feed, also those who are in no channel any more. It keeps the properties until they can be
    /// dropped without the lock.
    everybody: HashMap<u64, Arc<Member<P>>>,
    /// Nobody comes any more.
    sealed: bool,
}

impl<P> Subscriber<P> {
    /// What it subscribed with.
    #[must_use]
    pub fn properties(&self) -> &P {
        &self.0.properties
    }

    /// How many events wait for it to read them, without the initial ones.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.log.len()
    }
}

impl<P> Members<P> {
    /// Answers whether it may.
    pub(super) fn join(&mut self, member: Arc<Member<P>>) -> bool {
        if self.sealed {
            return false;
        }
        for channel in &member.channels {
            match self.lists.get_mut(channel) {
                Some(list) => Arc::make_mut(list).push(member.clone()),
                None => {
                    self.lists.insert(channel.clone(), Arc::new(vec![member.clone()]));
                }
            }
        }
        self.everybody.insert(member.key, member);
        true
    }

    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Removes somebody wherever it is, and gives it back, to be dropped without the lock.
    pub(super) fn leave(&mut self, key: u64) -> Option<Arc<Member<P>>> {
        let member = self.everybody.remove(&key)?;
        for channel in &member.channels {
            self.take_out(channel, std::slice::from_ref(&member));
        }
        Some(member)
    }

    /// Takes these out of a channel, and answers how many places that were.
    pub(super) fn take_out(&mut self, channel: &Channel, meant: &[Arc<Member<P>>]) -> usize {
        let Some(list) = self.lists.get_mut(channel) else { return 0 };
        let before = list.len();
        match meant {
            [] => return 0,
            [one] => Arc::make_mut(list).retain(|member| !Arc::ptr_eq(member, one)),
            many => {
                let many: HashSet<_> = many.iter().map(Arc::as_ptr).collect();
                Arc::make_mut(list).retain(|member| !many.contains(&Arc::as_ptr(member)));
            }
        }
        let after = list.len();
        if after == 0 {
            self.lists.remove(channel);
        }
        before - after
    }

    /// Those in each of these channels.
    pub(super) fn lists(&self, channels: &[Channel]) -> Lists<P> {
        channels.iter().map(|channel| self.lists.get(channel).cloned().unwrap_or_default()).collect()
    }

    /// Removes everybody.
    pub(super) fn drain(&mut self) -> Vec<Arc<Member<P>>> {
        self.lists.clear();
        self.everybody.drain().map(|(_, member)| member).collect()
    }
}

impl<P> Default for Members<P> {
    fn default() -> Self {
        Self { lists: HashMap::new(), everybody: HashMap::new(), sealed: false }
    }
}

impl<P> fmt::Debug for Members<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("channels", &self.lists.len())
            .field("subscribers", &self.everybody.len())
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
