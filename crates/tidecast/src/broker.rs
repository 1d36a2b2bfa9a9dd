//! The seam behind which events get their positions: in memory here, on Redis in a crate of its own.
//!
//! A broker hands what arrives to a [`Deliveries`] that it is given at the start, and does not know the hub.

pub mod memory;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use crate::{Channel, Event, IdempotencyKey, Limits, Position, Result, clock::Clock, frame::Frame, registry::Registry};

pub use self::memory::MemoryBroker;
pub use crate::{frame::Encoded, registry::Appended};

/// A future that a broker answers with.
pub type BrokerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What gives an event its position, carries it to the other nodes, and keeps the history.
///
/// The contract, which the functions of [`conformance`](crate::conformance) test (feature `conformance`):
///
/// - **Publishing.** [`publish`](Self::publish) answers after the event is accepted, with its position. The offsets of
///   a channel grow by 1 within an epoch. The same idempotency key in the same channel answers as the first time, and
///   delivers nothing; of two at once the second waits for the first.
/// - **Delivery.** Every accepted event of a channel that is read reaches [`Deliveries`] exactly once, in the order of
///   the positions, without holes.
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
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) where the broker could not be asked; whether the event
    /// was accepted is then unknown.
    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published>;

    /// Publishes without waiting, where this broker never needs to wait; `None`, the default, where it may.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish).
    fn publish_now(&self, _publication: &Publication) -> Option<Result<Published>> {
        None
    }

    /// Tells that the channel has a reader on this node.
    ///
    /// The broker calls [`Deliveries::open`] as soon as nothing after the channel's head can be missed: in memory
    /// before it returns. Until then its readers wait.
    fn subscribe(&self, channel: &Channel);

    /// Tells that the channel's last reader on this node has been gone for a second.
    ///
    /// Another may have come since: [`Deliveries::is_read`] tells.
    fn release(&self, channel: &Channel);

    /// Reads events that were published before, oldest first; `limit` is at least 1.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) where the broker could not be asked.
    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History>;

    /// Drops what a channel has. Its positions start over in another epoch, and its readers are told `restarted`.
    /// Answers whether the channel was known.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) where the broker could not be asked.
    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool>;

    /// Answers whether publishing would be accepted now.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable), with the reason, if not.
    fn ready(&self) -> BrokerFuture<'_, ()>;

    /// Lets go of whatever the broker holds. Called once, at the end.
    fn close(&self);
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
}

impl Published {
    /// The answer to a publication that was accepted now.
    #[must_use]
    pub fn new(publication: &Publication, position: Position, receivers: usize) -> Self {
        let id = publication.event.id().map_or_else(|| position.to_string(), ToString::to_string);
        Self { channel: publication.channel.clone(), id, position, receivers, repeated: false }
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct History {
    /// The events, oldest first.
    pub events: Vec<PastEvent>,
    /// Whether what follows the position that was asked for begins right here: `false` where older events than these
    /// were wanted and are gone.
    pub complete: bool,
}

impl History {
    /// Events, oldest first, and whether nothing before them is missing.
    #[must_use]
    pub fn new(events: Vec<PastEvent>, complete: bool) -> Self {
        Self { events, complete }
    }
}

/// An event of the past, as a subscriber would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastEvent {
    /// Where it stands.
    pub position: Position,
    /// Its id: its own, or its position as text.
    pub id: String,
    /// Its type; `message` where the publisher gave none.
    pub event_type: String,
    /// Its data, as the string that an `EventSource` sees.
    pub data: String,
}

impl PastEvent {
    /// An event at its position; `id` is its own, or the position as text.
    #[must_use]
    pub fn new(position: Position, id: String, event_type: String, data: String) -> Self {
        Self { position, id, event_type, data }
    }
}

/// Where a broker puts what arrives: the logs of this node.
///
/// A cheap handle. It does not keep the hub alive; what is put in after the hub has gone goes nowhere.
#[derive(Debug, Clone)]
pub struct Deliveries {
    registry: Weak<Registry>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Deliveries {
    pub(crate) fn new(registry: &Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { limits: registry.limits().clone(), registry: Arc::downgrade(registry), clock }
    }

    /// Appends an event to its channel's log, which draws the position: for brokers for which the log is the authority.
    ///
    /// The readers are woken when the answer is dropped. `None` where the hub has gone or is closed: the event was not
    /// accepted.
    pub fn append(&self, channel: &Channel, event: &Encoded<'_>) -> Option<Appended> {
        self.registry.upgrade()?.append(channel, event, self.clock.now())
    }

    /// Opens a channel's log, if it is not open yet, in a new epoch.
    pub fn open(&self, channel: &Channel) {
        if let Some(registry) = self.registry.upgrade() {
            registry.with_log(channel, self.clock.now(), |log| log.open());
        }
    }

    /// Drops what a channel's log has and starts it over in another epoch; its readers are told `restarted`. A channel
    /// that nobody reads is forgotten. Answers whether the channel was known.
    #[must_use]
    pub fn forget(&self, channel: &Channel) -> bool {
        self.registry.upgrade().is_some_and(|registry| registry.forget(channel))
    }

    /// Whether a subscription of this node reads the channel.
    #[must_use]
    pub fn is_read(&self, channel: &Channel) -> bool {
        self.registry
            .upgrade()
            .and_then(|registry| registry.find(channel))
            .is_some_and(|log| log.lock().is_ok_and(|state| state.readers() > 0))
    }

    /// Reads what this node's log has of a channel's past.
    #[must_use]
    pub fn past(&self, channel: &Channel, since: Since, limit: usize) -> History {
        let log = self.registry.upgrade().and_then(|registry| registry.find(channel));
        let Some(log) = log else {
            return History {
                complete: matches!(since, Since::Newest | Since::After(Position::START)),
                ..History::default()
            };
        };
        let after = match since {
            Since::After(position) => Some(position),
            Since::Newest => None,
        };
        let (frames, complete) = log.past(after, limit);
        let past_event = |(position, frame): (Position, Frame)| {
            let message = frame.message();
            PastEvent::new(position, message.last_event_id, message.event_type, message.data)
        };
        History::new(frames.into_iter().map(past_event).collect(), complete)
    }

    /// The hub's bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The hub's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
