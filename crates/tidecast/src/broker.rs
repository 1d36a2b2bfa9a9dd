//! The seam behind which events get their positions: in memory here, on Redis in a crate of its own.
//!
//! A broker hands what arrives to a [`Deliveries`] that it is given at the start, and does not know the hub.

mod control_message;
mod deliveries;
pub mod memory;
mod metric;

use std::{borrow::Cow, fmt, future::Future, pin::Pin};

use crate::{
    Channel, Event, IdempotencyKey, Position, Result,
    limits::{BACKFILL_BYTES_MAX, BACKFILL_EVENTS_MAX, BACKFILL_PAGE_EVENTS},
};

pub(crate) use self::control_message::ControlMessage;
pub use self::{
    deliveries::{AppendOutcome, Deliveries},
    memory::MemoryBroker,
    metric::{Alert, Metric, MetricValue},
};
pub use crate::{channel_log::Head, hub::Appended, wire::EncodedEvent};

/// A future that a broker answers with.
pub type BrokerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What gives an event its position, carries it to the other nodes, and keeps the history.
///
/// The contract, which the functions of the module `conformance` test (feature `conformance`):
///
/// - **Publishing.** [`publish`](Self::publish) answers after the event is accepted, with its position. The offsets of
///   a channel grow by 1 within an epoch. The same idempotency key in the same channel answers as the first time, says
///   by [`Published::differs`] whether the event was another one then, and delivers nothing; of two at once the second waits for the first.
/// - **Delivery.** Every accepted event of a channel that is read reaches [`Deliveries`] exactly once, in the order of
///   the positions, without holes. After a gap a broker fills first; where it can't, it says so by
///   [`Deliveries::open_at`]. Events that came past Tidecast have no position, and come between.
/// - **Order.** Per channel only. Nothing is promised between channels.
/// - **Waiting.** A publisher of one channel never waits for one of another. [`subscribe`](Self::subscribe),
///   [`release`](Self::release) and [`close`](Self::close) never wait for anything.
/// - **Cancelling.** A future may be dropped at any point. A publish that is dropped was accepted or was not; repeating
///   it under an idempotency key is safe.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Gives the broker what it delivers to. Called once, before anything else.
    fn start(&self, deliveries: Deliveries);

    /// Publishes an event.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) where the broker could not be asked; where the event may
    /// have been accepted, [`Error::is_in_doubt`](crate::Error::is_in_doubt) too.
    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published>;

    /// Returns whether [`publish_now`](Self::publish_now) publishes: this broker never waits. Default: no.
    fn publishes_at_once(&self) -> bool {
        false
    }

    /// Publishes without waiting; `None`, the default, if this broker may have to wait.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish).
    fn publish_now(&self, _publication: &Publication) -> Option<Result<Published>> {
        None
    }

    /// Tells that the channel has a reader on this node.
    ///
    /// As soon as nothing after the channel's head can be missed, the broker calls [`Deliveries::open`], where the log is
    /// the authority, or else [`Deliveries::go_live`]: in memory before it returns. Until then its readers wait.
    fn subscribe(&self, channel: &Channel);

    /// Tells that the channel's last reader on this node has been gone for a second.
    ///
    /// Another may have come since. A broker that wants to stop listening asks [`Deliveries::suspend_if_unread`] whether it may.
    fn release(&self, channel: &Channel);

    /// Reads events that were published before, oldest first and without holes; `limit` is at least 1. It may answer with
    /// fewer than there are, so that a page of large ones is not too large, but not with none.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) where the broker could not be asked.
    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History>;

    /// Returns how much of the broker's history a reader is given that its node's log can't serve, before it is told that
    /// events are missing. Called once, when the hub is built. `None`, the default: the history reaches no further back
    /// than the log.
    fn backfill_limits(&self) -> Option<BackfillLimits> {
        None
    }

    /// As [`history`](Self::history), for such a reader: it waits until the broker can be asked again. It is also asked
    /// about a position that this node has not heard of, whether another may have.
    ///
    /// # Errors
    ///
    /// [`Error::is_closed`](crate::Error::is_closed) once the broker is closed. After any other the reader is told that
    /// events are missing.
    fn backfill<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.history(channel, since, limit)
    }

    /// Finds the oldest event with an id of a publisher's own, for a reader that comes back with that id. `tail` is the
    /// position up to which this node's log lacks the history: what follows it is looked up there.
    ///
    /// By default [`backfill`](Self::backfill) is read up to `tail`, within [`backfill_limits`](Self::backfill_limits).
    /// Clients choose the id, and each look-up may cost as much, so a broker should bound
    /// how many run at once.
    ///
    /// # Errors
    ///
    /// As [`backfill`](Self::backfill).
    fn find_id<'a>(&'a self, channel: &'a Channel, id: &'a str, tail: Position) -> BrokerFuture<'a, Option<FoundId>> {
        Box::pin(async move {
            let (mut after, mut found) = (Position::START, None);
            let BackfillLimits { events_max: mut left, bytes_max: mut bytes_left } =
                self.backfill_limits().unwrap_or_default();
            // The log of a node that has run for a while begins where the history does: this is seen by a few.
            let mut limit = 16;
            while left > 0 && bytes_left > 0 {
                let page = self.backfill(channel, Since::After(after), limit.min(left)).await?;
                let Some(last) = page.events.last() else { return Ok(found) };
                after = last.position;
                for past in page.events.iter().take_while(|past| past.position.offset <= tail.offset) {
                    if past.event.id().is_some_and(|own| own.as_str() == id) {
                        match &mut found {
                            None => found = Some(FoundId { position: past.position, is_repeated: false }),
                            Some(found) => found.is_repeated = true,
                        }
                    }
                }
                if after.offset >= tail.offset {
                    return Ok(found);
                }
                left = left.saturating_sub(page.events.len());
                let bytes: usize = page.events.iter().map(|past| past.event.data().len()).sum();
                bytes_left = bytes_left.saturating_sub(bytes);
                limit = BACKFILL_PAGE_EVENTS;
            }
            // There may be others.
            Ok(found.map(|found| FoundId { is_repeated: true, ..found }))
        })
    }

    /// Drops what a channel has. Its positions start over in another epoch, and its readers are told `restarted`.
    /// Answers whether the channel was known.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) where the broker could not be asked.
    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool>;

    /// Sends a control message to every node, this one included. Each node passes it to its [`Deliveries::control`].
    ///
    /// The message is opaque to the broker. It has at most [`CONTROL_BYTES_MAX`](crate::limits::CONTROL_BYTES_MAX) bytes.
    /// A node that is disconnected misses it; a node may receive it more than once, and in any order with events and
    /// other messages. So a message may speed something up, and nothing may rely on it alone.
    ///
    /// The future is ready once the broker has taken the message. Senders await it and nothing is queued here, so the
    /// broker's bound on calls in flight is the bound on messages.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if the broker could not be reached. The message is not
    /// sent again.
    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()>;

    /// Returns whether publishing would be accepted now, as `/readyz` of the hub reports it.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if not, with the reason that an operator is to read.
    fn ready(&self) -> BrokerFuture<'_, ()>;

    /// Returns the broker's metrics with their present values: the same metrics, in the same order, at every call. A
    /// server exposes them beside its own, so their names begin with a word of the broker. Default: none.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// Lets go of whatever the broker holds. Called once, at the end.
    fn close(&self);
}

/// How much of a broker's history one reader is given until its log can serve it. What goes beyond is told by a
/// [`Reset`](crate::Reset).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillLimits {
    /// Events. Default: [`BACKFILL_EVENTS_MAX`], 10,000.
    pub events_max: usize,
    /// Bytes of frames; the page that exceeds it is the last. Default: [`BACKFILL_BYTES_MAX`], 8 MiB.
    pub bytes_max: usize,
}

impl BackfillLimits {
    /// Creates limits other than the default ones.
    #[must_use]
    pub fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { events_max, bytes_max }
    }
}

impl Default for BackfillLimits {
    fn default() -> Self {
        Self::new(BACKFILL_EVENTS_MAX, BACKFILL_BYTES_MAX)
    }
}

/// An event on its way to a channel.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where to.
    pub channel: Channel,
    /// What.
    pub event: Event,
    /// Under which key repeating it is harmless.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What came of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The channel.
    pub channel: Channel,
    /// The event's id: its own, or its position as text.
    pub id: String,
    /// Where the event stands.
    pub position: Position,
    /// How many subscriptions of this node read the channel at that moment.
    pub receivers: usize,
    /// Whether the idempotency key was known, so that this is the answer of the first time.
    pub repeated: bool,
    /// Whether it is, and the event of the first time was another one than that of this time, which is dropped.
    pub differs: bool,
    /// Whether this node can't hear its broker at the moment: the event is accepted, and the readers of this node get it
    /// once the node hears again.
    pub delayed: bool,
}

impl Published {
    /// The answer to a publication that was accepted now.
    #[must_use]
    pub fn new(publication: &Publication, position: Position, receivers: usize) -> Self {
        let id = id_of(&publication.event, position);
        let channel = publication.channel.clone();
        Self { channel, id, position, receivers, repeated: false, differs: false, delayed: false }
    }
}

/// From where history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// What follows a position.
    After(Position),
    /// The newest events.
    Newest,
}

/// A stretch of a channel's past.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct History {
    /// The events, oldest first.
    pub events: Vec<PastEvent>,
    /// Whether what follows the position that was asked for begins right here: `false` where older events than these
    /// were wanted and are gone.
    pub complete: bool,
    /// Where the channel stands, where the broker says so. A node that lags behind a client learns of it whether the
    /// client's position is one, also where what follows is gone; without it, `complete` is taken for that.
    pub head: Option<Position>,
}

impl History {
    /// Events, oldest first, and whether nothing before them is missing.
    #[must_use]
    pub fn new(events: Vec<PastEvent>, complete: bool) -> Self {
        Self { events, complete, head: None }
    }

    /// Says where the channel stands.
    #[must_use]
    pub fn with_head(mut self, head: Position) -> Self {
        self.head = Some(head);
        self
    }

    /// Whether the channel has come to a position.
    pub(crate) fn has_come_to(&self, position: Position) -> bool {
        let is_past = |head: Position| head.epoch == position.epoch && head.offset >= position.offset;
        self.head.map_or(self.complete, is_past)
    }
}

/// An event with an id of a publisher's own, as [`Broker::find_id`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundId {
    /// The position of the oldest event with that id.
    pub position: Position,
    /// Whether another one has the id too, or may have: not all of the history was looked at.
    pub is_repeated: bool,
}

/// An event of the past at its position.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PastEvent {
    /// Where it stands.
    pub position: Position,
    /// What was published; in memory as far as the wire tells.
    pub event: Event,
}

impl PastEvent {
    /// An event at its position.
    #[must_use]
    pub fn new(position: Position, event: Event) -> Self {
        Self { position, event }
    }

    /// Its id: its own, or its position as text.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(&self.event, self.position)
    }

    /// Its type; `message` where the publisher gave none.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.event.event_type().map_or("message", |event_type| event_type.as_str())
    }

    /// Its data, as the string that an `EventSource` sees.
    #[must_use]
    pub fn data(&self) -> Cow<'_, str> {
        let data = self.event.data();
        if data.contains('\r') { data.replace("\r\n", "\n").replace('\r', "\n").into() } else { data.into() }
    }
}

fn id_of(event: &Event, position: Position) -> String {
    event.id().map_or_else(|| position.to_string(), ToString::to_string)
}
