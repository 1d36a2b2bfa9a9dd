//! The handle that a program holds: publish, subscribe, look, sweep, close.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    Channel, Error, Event, IdempotencyKey, Limits, Position, Result, Stats, Subscription,
    bell::Bell,
    broker::{Broker, Deliveries, History, MemoryBroker, Publication, Published, Since},
    clock::{Clock, SystemClock},
    limits::{LAST_MAX, SUBSCRIPTION_CHANNELS_MAX},
    registry::Registry,
    resume::Start,
    stats::Counters,
    subscription::ResetReason,
    sync::{AtomicBool, Ordering},
    wire,
};

/// How long the last reader of a channel has been gone before the broker is told: a page that is loaded again comes back
/// within it.
const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// Channels, and everything that happens in them. Cheap to clone: every clone is the same hub.
///
/// A hub needs no runtime and starts no thread. Whoever serves streams for long calls [`sweep`](Self::sweep) every
/// second; `tidecast-axum` does it by itself.
///
/// # Examples
///
/// ```
/// use tidecast::{Event, Hub};
///
/// let hub = Hub::new();
/// let published = hub.publish_now("sse", Event::text("hello"))?;
/// assert_eq!(published.position.offset, 1);
/// assert_eq!(published.receivers, 0);
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

/// Makes a [`Hub`] other than the default one.
#[derive(Debug, Default)]
pub struct Builder {
    limits: Limits,
    clock: Option<Arc<dyn Clock>>,
    broker: Option<Arc<dyn Broker>>,
}

/// What a hub's handles and its subscriptions share.
pub(crate) struct Inner {
    registry: Arc<Registry>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
    swept_by_task: AtomicBool,
    counters: Counters,
}

/// What a hub knows about one of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// The channel.
    pub channel: Channel,
    /// How many subscriptions of this node read it.
    pub subscribers: usize,
    /// How many events its log holds.
    pub events: usize,
    /// The bytes of their frames.
    pub bytes: usize,
    /// The position just before the oldest event in the log.
    pub tail: Position,
    /// The position of the newest event, whether it is still in the log or not.
    pub head: Position,
}

impl Hub {
    /// A hub in memory with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins a hub with other limits, another clock, or another broker.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Publishes an event to a channel.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a channel's name that can't be one, [`Error::is_too_large`],
    /// [`Error::is_closed`], and [`Error::is_unavailable`] where the broker could not be asked.
    ///
    /// # Cancel safety
    ///
    /// In memory the event is published at the first poll. With another broker it is unknown whether a publish that was
    /// dropped half-way was accepted; repeat it with [`publish_once`](Self::publish_once).
    pub async fn publish<C>(&self, channel: C, event: Event) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication(Publication { channel: channel.try_into()?, event, idempotency_key: None }).await
    }

    /// Publishes an event unless this key was used in this channel within
    /// [`Limits::idempotency_age_max`]: then it answers as the first time and delivers nothing.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// A publish that was dropped may be repeated with the same key.
    pub async fn publish_once<C>(&self, channel: C, event: Event, key: IdempotencyKey) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication(Publication { channel: channel.try_into()?, event, idempotency_key: Some(key) }).await
    }

    /// Publishes an event that is already addressed.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_publication(&self, publication: Publication) -> Result<Published> {
        self.check_open()?;
        self.check(&publication.event)?;
        let published = match self.inner.broker.publish_now(&publication) {
            Some(published) => published,
            None => self.inner.broker.publish(publication).await,
        };
        self.inner.counters.count_published(published)
    }

    /// Publishes without a future, for programs without a runtime.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); also [`Error::is_unavailable`] if the hub's broker is not in memory, as it may
    /// have to wait.
    pub fn publish_now<C>(&self, channel: C, event: Event) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication_now(&Publication { channel: channel.try_into()?, event, idempotency_key: None })
    }

    /// [`publish_once`](Self::publish_once) without a future.
    ///
    /// # Errors
    ///
    /// As [`publish_now`](Self::publish_now).
    pub fn publish_once_now<C>(&self, channel: C, event: Event, key: IdempotencyKey) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication_now(&Publication { channel: channel.try_into()?, event, idempotency_key: Some(key) })
    }

    fn publish_publication_now(&self, publication: &Publication) -> Result<Published> {
        self.check_open()?;
        self.check(&publication.event)?;
        let published = self.inner.broker.publish_now(publication).unwrap_or_else(|| {
            Err(Error::unavailable("this hub's broker may have to wait, so publishing needs a future"))
        });
        self.inner.counters.count_published(published)
    }

    /// Checks an event against the limits, as publishing does first.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`].
    pub fn check(&self, event: &Event) -> Result<()> {
        let limits = self.limits();
        let data_bytes = event.data().len();
        if data_bytes > limits.event_data_bytes_max {
            return Err(Error::too_large("event data", data_bytes, limits.event_data_bytes_max));
        }
        let frame_bytes = wire::encoded_len(event);
        if frame_bytes > limits.frame_bytes_max {
            return Err(Error::too_large("event with its field names", frame_bytes, limits.frame_bytes_max));
        }
        Ok(())
    }

    /// Subscribes to 1 to 64 channels; a channel that is named twice counts once.
    ///
    /// Never waits: while the broker can't tell where a channel stands, the subscription waits instead. From a position
    /// that is no longer there it goes on with the oldest event that is, after a [`Reset`](crate::Reset).
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a name that can't be a channel's, for no channel or more than 64, and for a
    /// [`Start::Last`] of more than 1,000; [`Error::is_closed`].
    pub fn subscribe<I>(&self, channels: I, start: Start) -> Result<Subscription>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        self.check_open()?;
        let mut seen = HashSet::new();
        let mut distinct = Vec::new();
        for channel in channels {
            let channel = channel.try_into()?;
            if seen.insert(channel.clone()) {
                distinct.push(channel);
            }
            if distinct.len() > SUBSCRIPTION_CHANNELS_MAX {
                let why = format!("names more than {SUBSCRIPTION_CHANNELS_MAX} channels");
                return Err(Error::invalid("subscription", why));
            }
        }
        if distinct.is_empty() {
            return Err(Error::invalid("subscription", "names no channel"));
        }
        if matches!(start, Start::Last(count) if count > LAST_MAX) {
            return Err(Error::invalid("last", format!("is more than {LAST_MAX}")));
        }

        let now = self.inner.now();
        let bell = Arc::new(Bell::default());
        let mut logs = Vec::with_capacity(distinct.len());
        for ((channel, start), lane) in distinct.iter().zip(start.lanes(distinct.len())).zip(0..) {
            let (log, first) = self.inner.registry.with_log(channel, now, |log| {
                let first = log.join(&bell, lane)?;
                Ok((log.clone(), first))
            });
            if first {
                self.inner.broker.subscribe(channel);
            }
            logs.push((log, start));
        }
        self.inner.counters.count_joined();
        Ok(Subscription::new(self.inner.clone(), logs, bell))
    }

    /// Reads the newest events of a channel, oldest first: at most `last`, and at most 1,000.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for more than 1,000; [`Error::is_unavailable`] where the broker could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    pub async fn newest(&self, channel: &Channel, last: usize) -> Result<History> {
        if last > LAST_MAX {
            return Err(Error::invalid("last", format!("is more than {LAST_MAX}")));
        }
        if last == 0 {
            return Ok(History::default());
        }
        self.inner.broker.history(channel, Since::Newest, last).await
    }

    /// Drops what a channel has: its positions start over, and its readers are told `restarted`. Answers whether the
    /// channel was known.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] where the broker could not be asked.
    ///
    /// # Cancel safety
    ///
    /// In memory it is done at the first poll; with another broker it is unknown whether it was.
    pub async fn forget(&self, channel: &Channel) -> Result<bool> {
        self.inner.broker.forget(channel).await
    }

    /// Answers whether publishing would be accepted now.
    ///
    /// # Errors
    ///
    /// [`Error::is_closed`], or [`Error::is_unavailable`] with the broker's reason.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    pub async fn ready(&self) -> Result<()> {
        self.check_open()?;
        self.inner.broker.ready().await
    }

    /// The channels that this node knows, by name: at most `limit`, after a name.
    #[must_use]
    pub fn channels(&self, after: Option<&str>, limit: usize) -> Vec<ChannelInfo> {
        let names = self.inner.registry.names(after, limit);
        names.iter().filter_map(|channel| self.channel(channel)).collect()
    }

    /// What this node knows of a channel; `None` if nothing.
    #[must_use]
    pub fn channel(&self, channel: &Channel) -> Option<ChannelInfo> {
        let log = self.inner.registry.find(channel)?;
        let state = log.lock().ok()?;
        Some(ChannelInfo {
            channel: channel.clone(),
            subscribers: state.readers(),
            events: state.log.len(),
            bytes: state.log.frame_bytes(),
            tail: state.log.position_before(state.log.oldest()),
            head: state.log.position_before(state.log.head()),
        })
    }

    /// Drops events that have grown too old, and forgets channels that have been idle for as long.
    ///
    /// Takes about a microsecond a channel, and holds no lock for longer than one channel takes.
    pub fn sweep(&self) {
        for channel in self.inner.registry.sweep(self.inner.now(), RELEASE_AFTER) {
            self.inner.broker.release(&channel);
        }
    }

    /// Claims the sweeping of this hub: `None` if somebody else has it.
    #[must_use]
    pub fn sweeper(&self) -> Option<Sweeper> {
        let claimed = !self.inner.swept_by_task.swap(true, Ordering::AcqRel);
        claimed.then(|| Sweeper { hub: Arc::downgrade(&self.inner) })
    }

    /// Ends the hub: nothing more is published, and every subscription ends after what was published before.
    ///
    /// Calling it again changes nothing.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether the hub is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// What has happened so far, and what there is now. Looks at every channel.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.counters.stats(&self.inner.registry.totals())
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.inner.registry.limits()
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::closed()) } else { Ok(()) }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Builder ===

impl Builder {
    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the clock. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the broker. Default: a [`MemoryBroker`] of this hub's own. A broker serves one hub.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Makes the hub.
    #[must_use]
    pub fn build(mut self) -> Hub {
        // An entry of a log counts the bytes of a frame in 32 bits; a gigabyte in one event is past any use.
        self.limits.frame_bytes_max = self.limits.frame_bytes_max.min(1 << 30);
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let broker = self.broker.unwrap_or_else(|| Arc::new(MemoryBroker::new()));
        let registry = Arc::new(Registry::new(self.limits));
        broker.start(Deliveries::new(&registry, clock.clone()));
        let inner = Inner {
            registry,
            broker,
            clock,
            closed: AtomicBool::new(false),
            swept_by_task: AtomicBool::new(false),
            counters: Counters::default(),
        };
        Hub { inner: Arc::new(inner) }
    }
}

// === impl Inner ===

impl Inner {
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn count_reset(&self, reason: ResetReason) {
        self.counters.count_reset(reason);
    }

    pub(crate) fn count_left(&self) {
        self.counters.count_left();
    }

    fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.registry.ring_all();
            self.broker.close();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("broker", &self.broker).finish_non_exhaustive()
    }
}

/// The right to sweep a hub, without keeping it alive. Dropping it gives the right back.
#[derive(Debug)]
pub struct Sweeper {
    hub: Weak<Inner>,
}

impl Sweeper {
    /// Sweeps the hub once; `false` if it has gone or is closed, so that there is nothing more to do.
    #[must_use]
    pub fn sweep(&self) -> bool {
        let Some(inner) = self.hub.upgrade() else { return false };
        let hub = Hub { inner };
        hub.sweep();
        !hub.is_closed()
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(inner) = self.hub.upgrade() {
            inner.swept_by_task.store(false, Ordering::Release);
        }
    }
}
