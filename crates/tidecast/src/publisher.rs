//! Publishing to subscribers that differ: each has properties, and an event may be made for each.
//!
//! A publisher has no positions, no history and no broker; a [`Hub`](crate::Hub) has them, because its subscribers are
//! cursors over a shared log. An event that is made for one subscriber must be stored until it is read. So each subscriber
//! has a small log of its own, which holds frames that others get too by reference.

mod fan_out;
mod feed;
mod feed_batch;
mod feed_log;
#[cfg(all(test, tidecast_loom))]
mod model;
mod options;
mod publish;
mod subscribers;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Weak},
};

use self::{
    fan_out::FanOut,
    feed::FeedOwner,
    feed_log::FeedLog,
    subscribers::{Channels, SubscriberEntry, SubscriberTable},
};
pub use self::{
    feed::Feed,
    options::{FeedOptions, WhenFull},
    subscribers::Subscriber,
};
use crate::{
    Channel, Error, Frame, Limits, Result,
    limits::FEED_INITIAL_BYTES_MAX,
    sync::{AtomicU64, Mutex, Ordering},
};

/// Publishes to subscribers that have properties. Cheap to clone: every clone is the same publisher.
///
/// A subscriber is a [`Feed`]; dropping it leaves. `P` is the type of the properties of each subscriber, such as a user.
///
/// Unlike with a [`Hub`](crate::Hub), an event may be made for each subscriber, by [`publish_with`](Self::publish_with), and
/// the subscribers can be listed. But there is no history: a subscriber that reconnects has missed the events in between.
/// An event has an id only if it has its own.
///
/// A channel exists while it has a subscriber. A feed that is in several channels of a publish gets the event once for each
/// of them, and so does a feed that named a channel twice.
///
/// The events of one thread arrive in the order in which it published them. Those of several threads arrive in the same
/// order at every subscriber. The feeds end when the last clone is dropped.
///
/// # Examples
///
/// ```
/// use tidecast::{Event, FeedOptions, Publisher};
///
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     match std::pin::pin!(future).poll(&mut context) { std::task::Poll::Ready(done) => done, _ => panic!("ready") }
/// # }
/// # block_on(async {
/// struct User {
///     name: &'static str,
/// }
///
/// let publisher = Publisher::new();
/// let mut ada = publisher.subscribe(["chat"], User { name: "ada" }, FeedOptions::default())?;
/// let mut bob = publisher.subscribe(["chat"], User { name: "bob" }, FeedOptions::default())?;
///
/// publisher.publish(["chat"], Event::text("hello, all")).await?;
/// publisher
///     .publish_with(["chat"], |user: &User| {
///         Ok::<_, tidecast::Error>((user.name == "bob").then(|| Event::text("hello, bob")))
///     })
///     .await?;
/// publisher.close();
///
/// assert_eq!(ada.next().await.expect("an event").message().data, "hello, all");
/// assert!(ada.next().await.is_none());
/// assert_eq!(bob.next().await.expect("an event").message().data, "hello, all");
/// assert_eq!(bob.next().await.expect("an event").message().data, "hello, bob");
/// # Ok::<(), tidecast::Error>(())
/// # }).unwrap();
/// ```
pub struct Publisher<P = ()> {
    state: Arc<PublisherState<P>>,
}

/// The state that a publisher's handles share, also with its feeds while there is a handle.
struct PublisherState<P> {
    subscribers: Mutex<SubscriberTable<P>>,
    next_key: AtomicU64,
    fan_out: FanOut,
    limits: Limits,
}

impl<P> Publisher<P> {
    /// Creates a publisher without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// Creates a publisher with limits.
    ///
    /// Only [`event_data_bytes_max`](Limits::event_data_bytes_max) and [`frame_bytes_max`](Limits::frame_bytes_max) apply.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let (subscribers, next_key) = (Mutex::new(SubscriberTable::default()), AtomicU64::new(0));
        Self { state: Arc::new(PublisherState { subscribers, next_key, fan_out: FanOut::default(), limits }) }
    }

    /// Returns the present subscribers of these channels, in the order in which they came, channel by channel. A subscriber
    /// of two of them is listed twice.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if a channel's name is invalid.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidecast::{FeedOptions, Publisher};
    ///
    /// let publisher = Publisher::new();
    /// let feed = publisher.subscribe(["chat"], "ada", FeedOptions::default())?;
    /// let names = |publisher: &Publisher<_>| {
    ///     Ok::<Vec<_>, tidecast::Error>(publisher.subscribers(["chat"])?.iter().map(|subscriber| *subscriber.properties()).collect())
    /// };
    /// assert_eq!(names(&publisher)?, ["ada"]);
    ///
    /// drop(feed);
    /// assert!(names(&publisher)?.is_empty());
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    pub fn subscribers<I>(&self, channels: I) -> Result<Vec<Subscriber<P>>>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let channels = parse(channels)?;
        let lists = self.state.subscribers.lock().lists(&channels);
        Ok(lists.iter().flat_map(|list| list.iter()).cloned().map(Subscriber).collect())
    }

    /// Removes the subscribers from these channels for whose properties `predicate` returns `true`. Returns how many places
    /// were removed. `|_| true` empties the channels.
    ///
    /// Their feeds do not end, not even those that are in no channel any more: a browser whose stream ends reconnects by
    /// itself, and would subscribe again. Events that were published before are still read.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if a channel's name is invalid.
    pub fn unsubscribe<I>(&self, channels: I, mut predicate: impl FnMut(&P) -> bool) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let channels = parse(channels)?;
        let lists = self.state.subscribers.lock().lists(&channels);
        // The program's own code runs without the lock, because it may use this publisher.
        let selected: Vec<Vec<_>> = lists
            .iter()
            .map(|list| list.iter().filter(|entry| predicate(&entry.properties)).cloned().collect())
            .collect();
        let mut subscribers = self.state.subscribers.lock();
        Ok(channels.iter().zip(&selected).map(|(channel, selected)| subscribers.remove(channel, selected)).sum())
    }

    /// Ends the feed of every present subscriber, after the events that were published before. The publisher continues with
    /// later subscribers.
    pub fn close(&self) {
        self.state.close();
    }

    /// Closes the publisher for good: feeds that are subscribed later end after their initial events.
    ///
    /// A server that stops waits for its streams, which do not end by themselves, including one that is requested at this
    /// very moment.
    pub fn close_for_good(&self) {
        self.state.subscribers.lock().close();
        self.state.close();
    }
}

impl<P: Send + Sync + 'static> Publisher<P> {
    /// Subscribes to channels, with the subscriber's properties.
    ///
    /// The feed gets [`FeedOptions::initial`] first, then every event that is published from now on. Without any channel it
    /// gets only the initial events.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if a channel's name is invalid; [`Error::is_invalid`] or [`Error::is_too_large`] for an initial
    /// event that could not be published, and for initial events of more than 8 MiB together.
    pub fn subscribe<I>(&self, channels: I, properties: P, options: FeedOptions) -> Result<Feed>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let channels = parse(channels)?;
        let log = Arc::new(FeedLog::new(&options));
        let mut initial = VecDeque::with_capacity(options.initial.len());
        let mut bytes = 0;
        for event in options.initial {
            self.state.limits.check(&event)?;
            let frame = Frame::without_position(&event);
            bytes += frame.bytes().len();
            if bytes > FEED_INITIAL_BYTES_MAX {
                return Err(Error::too_large("initial data", bytes, FEED_INITIAL_BYTES_MAX));
            }
            initial.push_back(frame);
        }
        let key = self.state.next_key.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(SubscriberEntry { key, properties, channels, log: log.clone() });
        if !self.state.subscribers.lock().join(entry) {
            log.end();
        }
        let state: Weak<PublisherState<P>> = Arc::downgrade(&self.state);
        Ok(Feed::new(initial, log, state, key))
    }
}

impl<P> PublisherState<P> {
    fn close(&self) {
        let all = self.subscribers.lock().drain();
        for entry in &all {
            entry.log.end();
        }
        self.fan_out.notify_room();
    }

    /// Removes the subscribers with these keys. Their properties are dropped without the lock, because that runs the
    /// program's own code.
    fn remove(&self, keys: &[u64]) {
        for key in keys {
            let removed = self.subscribers.lock().leave(*key);
            drop(removed);
        }
    }
}

impl<P: Send + Sync> FeedOwner for PublisherState<P> {
    fn leave(&self, key: u64) {
        self.remove(&[key]);
    }

    fn notify_room(&self) {
        self.fan_out.notify_room();
    }
}

/// Ends the feeds, because nobody is left to publish.
impl<P> Drop for PublisherState<P> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<P> Clone for Publisher<P> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone() }
    }
}

impl<P> Default for Publisher<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Publisher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("subscribers", &*self.state.subscribers.lock()).finish_non_exhaustive()
    }
}

fn parse<I>(channels: I) -> Result<Channels>
where
    I: IntoIterator,
    I::Item: TryInto<Channel>,
    Error: From<<I::Item as TryInto<Channel>>::Error>,
{
    channels.into_iter().map(|channel| Ok(channel.try_into()?)).collect()
}
