//! The handle that a program holds: publishing, subscribing, inspecting, sweeping and closing.

mod builder;
mod eviction;
mod forgotten;
mod publish;
mod registry;
mod stats;
mod subscribe;
mod sweep;

use std::{fmt, sync::Arc, time::Duration};

pub(crate) use self::registry::Registry;
use self::stats::Counters;
pub use self::{builder::Builder, stats::Stats, sweep::Sweeper};
use crate::{
    Channel, Epoch, Error, Limits, Position, ResetReason, Result,
    broker::{BackfillLimits, Broker, BrokerFuture, ControlMessage, FoundId, History, Since},
    clock::Clock,
    limits::LAST_MAX,
    sync::{AtomicBool, Ordering},
};

/// The channels of a program and everything that happens in them. Cheap to clone: every clone is the same hub.
///
/// A hub needs no runtime and starts no thread. A program that serves streams for long must call [`sweep`](Self::sweep)
/// every second; `tidecast-axum` does so by itself.
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
    state: Arc<HubState>,
}

/// The state that a hub's handles share with its subscriptions.
pub(crate) struct HubState {
    registry: Arc<Registry>,
    broker: Arc<dyn Broker>,
    backfill_limits: Option<BackfillLimits>,
    clock: Arc<dyn Clock>,
    closing: AtomicBool,
    /// Subscriptions see it, and end after the events that are in the logs by then.
    closed: AtomicBool,
    has_sweeper: AtomicBool,
    counters: Counters,
}

/// A node's knowledge of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// The channel.
    pub channel: Channel,
    /// The number of subscriptions on this node that read the channel.
    pub subscribers: usize,
    /// The number of events in the log.
    pub events: usize,
    /// The bytes of their frames.
    pub bytes: usize,
    /// The position just before the oldest event in the log.
    pub tail: Position,
    /// The position of the newest event, even if the log no longer has it.
    pub head: Position,
}

impl Hub {
    /// Creates a hub in memory with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads up to `last` of a channel's newest events, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if `last` exceeds 1,000; [`Error::is_unavailable`] if the broker could not be reached.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn newest(&self, channel: &Channel, last: usize) -> Result<History> {
        if last > LAST_MAX {
            return Err(Error::invalid("last", format!("is {last}; at most {LAST_MAX} is allowed")));
        }
        if last == 0 {
            return Ok(History::default());
        }
        self.state.broker.history(channel, Since::Newest, last).await
    }

    /// Reads up to `limit` of a channel's events after a position, oldest first, and at most 1,000.
    ///
    /// The next page starts after the last position of this one. If the events after the position are gone, the page begins
    /// with the oldest retained event.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] if the broker could not be reached.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn history_after(&self, channel: &Channel, position: Position, limit: usize) -> Result<History> {
        self.state.broker.history(channel, Since::After(position), limit.min(LAST_MAX)).await
    }

    /// Deletes a channel: its events are dropped, its positions start over, and its readers are told `restarted`. Returns
    /// whether the channel was known.
    ///
    /// A message then tells the nodes that no longer listen to the channel to drop their logs of it. If the broker cannot send
    /// it, or a node misses it, that node drops the log by its age. This is not reported, because the channel is deleted.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] if the broker could not be reached.
    ///
    /// # Cancel safety
    ///
    /// In memory the channel is deleted at the first poll. With another broker it is unknown whether it was. If the future is
    /// dropped after the deletion, the other nodes may not be told, as if the message to them were lost.
    pub async fn forget(&self, channel: &Channel) -> Result<bool> {
        let was_known = self.state.broker.forget(channel).await?;
        let _ = self.state.broker.send_control(&ControlMessage::Forgotten(channel.clone()).to_bytes()).await;
        Ok(was_known)
    }

    /// Checks that a publish would be accepted now.
    ///
    /// # Errors
    ///
    /// [`Error::is_closed`], or [`Error::is_unavailable`] with the broker's reason.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn ready(&self) -> Result<()> {
        self.check_open()?;
        self.state.broker.ready().await
    }

    /// Returns up to `limit` channels of this node in the order of their names, starting after the name `after`.
    #[must_use]
    pub fn channels(&self, after: Option<&str>, limit: usize) -> Vec<ChannelInfo> {
        let names = self.state.registry.names(after, limit);
        names.iter().filter_map(|channel| self.channel(channel)).collect()
    }

    /// Returns this node's knowledge of a channel, or `None` if the channel is unknown.
    #[must_use]
    pub fn channel(&self, channel: &Channel) -> Option<ChannelInfo> {
        let log = self.state.registry.find(channel)?;
        let state = log.lock().ok()?;
        Some(ChannelInfo {
            channel: channel.clone(),
            subscribers: state.readers(),
            events: state.log.len(),
            bytes: state.log.frame_bytes(),
            tail: state.log.tail(),
            head: state.log.head(),
        })
    }

    /// Closes the hub: nothing more is published, and every subscription ends after the events that were published before.
    ///
    /// Further calls change nothing.
    pub fn close(&self) {
        self.state.close();
    }

    /// Returns whether the hub is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    /// Returns the counts of this node. Visits every channel.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.state.counters.add_to(&mut stats);
        self.state.registry.add_to(&mut stats);
        stats
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.state.registry.limits()
    }

    #[cfg(feature = "conformance")]
    pub(crate) fn deliveries(&self) -> crate::broker::Deliveries {
        crate::broker::Deliveries::new(&self.state.registry, self.state.clock.clone())
    }

    pub(crate) fn from_state(state: Arc<HubState>) -> Self {
        Self { state }
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::closed()) } else { Ok(()) }
    }
}

impl HubState {
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns whether the broker may have events that this node's logs lack.
    pub(crate) fn keeps_history(&self) -> bool {
        self.backfill_limits.is_some()
    }

    /// Returns how much one backfill may read.
    pub(crate) fn backfill_limits(&self) -> BackfillLimits {
        self.backfill_limits.unwrap_or_default()
    }

    /// Returns whether a channel of this node has the epoch.
    pub(crate) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.registry.has_epoch(epoch)
    }

    /// Asks the broker for events that a log lacks. The hub lives until it has answered.
    pub(crate) fn backfill(
        self: &Arc<Self>,
        channel: &Channel,
        since: Since,
        limit: usize,
    ) -> BrokerFuture<'static, History> {
        let (hub, channel) = (self.clone(), channel.clone());
        Box::pin(async move { hub.broker.backfill(&channel, since, limit).await })
    }

    /// Asks the broker for an event with a publisher's own id. The hub lives until it has answered.
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
            // In this order: nothing more is accepted; every reader is notified of what it has not read; only then may a
            // subscription see that the hub is closed, and end.
            self.registry.close();
            self.registry.notify_all();
            self.closed.store(true, Ordering::Release);
            self.registry.notify_all();
            self.broker.close();
        }
    }
}

impl Drop for HubState {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for HubState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("broker", &self.broker).finish_non_exhaustive()
    }
}
