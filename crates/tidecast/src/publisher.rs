//! Who publishes to subscribers that differ: each has properties, and an event may be made for each of them.
//!
//! Nothing here has positions, history or a broker; that is the [`Hub`](crate::Hub), where a subscriber is a cursor over a
//! log that all share. What is made for one subscriber has to lie somewhere until it is read, so a publisher's subscriber
//! has a small log of its own, into which frames that others get too go by reference.

mod fan_out;
mod feed;
mod feed_batch;
mod feed_log;
#[cfg(all(test, tidecast_loom))]
mod model;
mod publish;
mod subscribers;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Weak},
};

use smallvec::SmallVec;

use self::{
    fan_out::FanOut,
    feed::Leave,
    feed_log::FeedLog,
    subscribers::{Member, Members},
};
use crate::{
    Channel, Error, Frame, Limits, Result,
    limits::FEED_INITIAL_BYTES_MAX,
    sync::{AtomicU64, Mutex, Ordering},
};

pub use self::{
    feed::{Feed, FeedOptions, WhenFull},
    subscribers::Subscriber,
};

/// Publishes to subscribers that have properties. Cheap to clone: every clone is the same publisher.
///
/// A subscriber is whoever holds a [`Feed`]: dropping it is leaving. `P` is what is known about each, such as a user.
///
/// Against a [`Hub`](crate::Hub): an event may be made for each subscriber, by [`publish_with`](Self::publish_with), and
/// who is there can be asked; but there is no history, so who comes back has missed what was said meanwhile. An event has
/// no id unless it was given one.
///
/// A channel is there while somebody is in it. A feed that is in several of the channels of a publish gets the event once
/// for each of them, and so does one that named a channel twice.
///
/// What one thread publishes arrives in that order, and what several publish arrives in the same order everywhere. The
/// feeds end when the last clone is dropped.
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
    inner: Arc<Inner<P>>,
}

/// What a publisher's handles share, and its feeds as long as there is a handle.
struct Inner<P> {
    members: Mutex<Members<P>>,
    /// The next subscriber's.
    keys: AtomicU64,
    fan_out: FanOut,
    limits: Limits,
}

impl<P> Publisher<P> {
    /// A publisher without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A publisher that takes other events than by default.
    ///
    /// Of the limits only [`event_data_bytes_max`](Limits::event_data_bytes_max) and
    /// [`frame_bytes_max`](Limits::frame_bytes_max) concern it.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let (members, keys) = (Mutex::new(Members::default()), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { members, keys, fan_out: FanOut::default(), limits }) }
    }

    /// Those who are in these channels now, in the order in which they came, channel by channel: who is in two of them is
    /// there twice.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a name that can't be a channel's.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidecast::{FeedOptions, Publisher};
    ///
    /// let publisher = Publisher::new();
    /// let feed = publisher.subscribe(["chat"], "ada", FeedOptions::default())?;
    /// let names = |publisher: &Publisher<_>| {
    ///     Ok::<Vec<_>, tidecast::Error>(publisher.subscribers(["chat"])?.iter().map(|who| *who.properties()).collect())
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
        let lists = self.inner.members.lock().lists(&channels);
        Ok(lists.iter().flat_map(|list| list.iter()).cloned().map(Subscriber).collect())
    }

    /// Takes those out of these channels whose properties `is_meant` says are meant, and answers how many places that
    /// were. `|_| true` empties the channels.
    ///
    /// Their feeds do not end, not even those that are in no channel any more, as a browser whose stream ends comes back
    /// by itself, and would be in again. What was published before is still read.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a name that can't be a channel's.
    pub fn unsubscribe<I>(&self, channels: I, mut is_meant: impl FnMut(&P) -> bool) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let channels = parse(channels)?;
        let lists = self.inner.members.lock().lists(&channels);
        // The program's own code runs without the lock: it may ask this publisher.
        let meant: Vec<Vec<_>> = lists
            .iter()
            .map(|list| list.iter().filter(|member| is_meant(&member.properties)).cloned().collect())
            .collect();
        let mut members = self.inner.members.lock();
        Ok(channels.iter().zip(&meant).map(|(channel, meant)| members.take_out(channel, meant)).sum())
    }

    /// Ends the feed of every subscriber, after what was published before. The publisher goes on, with those who subscribe
    /// later.
    pub fn close(&self) {
        self.inner.close();
    }

    /// The same for good: a feed that is subscribed later ends after its initial data.
    ///
    /// For a server that is to stop: it waits for streams, which have no end of their own, also for one that was asked for
    /// in this very moment.
    pub fn close_for_good(&self) {
        self.inner.members.lock().seal();
        self.inner.close();
    }
}

impl<P: Send + Sync + 'static> Publisher<P> {
    /// Subscribes to channels, with what is to be known about the subscriber.
    ///
    /// From now on it gets what is published, after [`FeedOptions::initial`]. It may be in no channel at all: then it gets
    /// no more than that.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a name that can't be a channel's; [`Error::is_too_large`] for an initial event that could
    /// not be published, or initial events of more than 8 MiB together.
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
            self.inner.limits.check(&event)?;
            let frame = Frame::without_position(&event);
            bytes += frame.bytes().len();
            if bytes > FEED_INITIAL_BYTES_MAX {
                return Err(Error::too_large("initial data", bytes, FEED_INITIAL_BYTES_MAX));
            }
            initial.push_back(frame);
        }
        let key = self.inner.keys.fetch_add(1, Ordering::Relaxed);
        let member = Arc::new(Member { key, properties, channels, log: log.clone() });
        if !self.inner.members.lock().join(member) {
            log.end();
        }
        let inner: Weak<Inner<P>> = Arc::downgrade(&self.inner);
        Ok(Feed::new(initial, log, inner, key))
    }
}

impl<P> Inner<P> {
    fn close(&self) {
        let everybody = self.members.lock().drain();
        for member in &everybody {
            member.log.end();
        }
        self.fan_out.room_was_made();
    }

    /// Removes those with these keys. What is known about them is dropped without the lock: it is the program's own.
    fn remove(&self, keys: &[u64]) {
        for key in keys {
            let removed = self.members.lock().leave(*key);
            drop(removed);
        }
    }
}

impl<P: Send + Sync> Leave for Inner<P> {
    fn leave(&self, key: u64) {
        self.remove(&[key]);
    }

    fn room_was_made(&self) {
        self.fan_out.room_was_made();
    }
}

/// Nobody is left who could publish.
impl<P> Drop for Inner<P> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<P> Clone for Publisher<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<P> Default for Publisher<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for Publisher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("members", &*self.inner.members.lock()).finish_non_exhaustive()
    }
}

type Channels = SmallVec<[Channel; 2]>;

fn parse<I>(channels: I) -> Result<Channels>
where
    I: IntoIterator,
    I::Item: TryInto<Channel>,
    Error: From<<I::Item as TryInto<Channel>>::Error>,
{
    channels.into_iter().map(|channel| Ok(channel.try_into()?)).collect()
}
