//! The handle that a program holds: publish, subscribe, look, sweep, close.

mod builder;
mod forgotten;
mod publish;
mod registry;
mod stats;
mod subscribe;
mod sweep;

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    Channel, Epoch, Error, Limits, Position, ResetReason, Result,
    broker::{BackfillLimits, Broker, BrokerFuture, ControlMessage, FoundId, History, Since},
    clock::Clock,
    limits::LAST_MAX,
    sync::{AtomicBool, Ordering},
};

use self::stats::Counters;
pub use self::{builder::Builder, registry::Appended, stats::Stats, sweep::Sweeper};
pub(crate) use self::{forgotten::Beginning, registry::Registry};

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

/// What a hub's handles and its subscriptions share.
pub(crate) struct Inner {
    registry: Arc<Registry>,
    broker: Arc<dyn Broker>,
    backfill_limits: Option<BackfillLimits>,
    clock: Arc<dyn Clock>,
    closing: AtomicBool,
    /// Seen by subscriptions, which end at what is in the logs by then.
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

    /// Reads at most `limit` of a channel's events behind a position, oldest first: the next page after the last position of
    /// the one before. Where what follows the position is gone, it begins with the oldest that is there.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] where the broker could not be asked.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn history_after(&self, channel: &Channel, position: Position, limit: usize) -> Result<History> {
        self.inner.broker.history(channel, Since::After(position), limit.min(LAST_MAX)).await
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
        let was_known = self.inner.broker.forget(channel).await?;
        // Nodes that no longer listen to the channel still have its log. One that misses this drops it by age.
        let _ = self.inner.broker.send_control(&ControlMessage::Forgotten(channel.clone()).to_bytes()).await;
        Ok(was_known)
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

    #[cfg(feature = "conformance")]
    pub(crate) fn deliveries(&self) -> crate::broker::Deliveries {
        crate::broker::Deliveries::new(&self.inner.registry, self.inner.clock.clone())
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

// === impl Inner ===

impl Inner {
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether the broker may have what this node's logs do not.
    pub(crate) fn keeps_history(&self) -> bool {
        self.backfill_limits.is_some()
    }

    /// Returns how much one backfill may read.
    pub(crate) fn backfill_limits(&self) -> BackfillLimits {
        self.backfill_limits.unwrap_or_default()
    }

    /// Whether a channel of this node has that epoch.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.registry.has_epoch(epoch)
    }

    /// Asks the broker for what a log does not have; keeps the hub until it has answered.
    pub(crate) fn backfill(
        self: &Arc<Self>,
        channel: &Channel,
        since: Since,
        limit: usize,
    ) -> BrokerFuture<'static, History> {
        let (hub, channel) = (self.clone(), channel.clone());
        Box::pin(async move { hub.broker.backfill(&channel, since, limit).await })
    }

    /// Asks the broker for an event with an id of a publisher's own; keeps the hub until it has answered.
    pub(crate) fn find_id(
        self: &Arc<Self>,
        channel: &Channel,
        id: &str,
        tail: Position,
    ) -> BrokerFuture<'static, Option<FoundId>> {
        let (hub, channel, id) = (self.clone(), channel.clone(), id.to_owned());
        Box::pin(async move { hub.broker.find_id(&channel, &id, tail).await })
    }

    pub(crate) fn count_reset(&self, reason: ResetReason) {
        self.counters.count_reset(reason);
    }

    pub(crate) fn count_left(&self) {
        self.counters.count_left();
    }

    fn close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            // In this order: nothing more is accepted; whoever has not read what was is told of it; and only then may a
            // subscription see that the hub is closed, and end.
            self.registry.seal();
            self.registry.ring_all();
            self.closed.store(true, Ordering::Release);
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
