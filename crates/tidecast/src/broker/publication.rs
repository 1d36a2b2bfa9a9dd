//! An event on its way to a channel, and the result of publishing it.

use crate::{Channel, Error, Event, IdempotencyKey, Position, Result};

/// An event on its way to a channel.
///
/// # Examples
///
/// ```
/// use tidecast::{Event, Hub, IdempotencyKey, Publication};
///
/// # fn block_on<T>(future: impl Future<Output = T>) -> T {
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     match std::pin::pin!(future).poll(&mut context) { std::task::Poll::Ready(done) => done, _ => panic!("ready") }
/// # }
/// # block_on(async {
/// let hub = Hub::new();
/// let key = IdempotencyKey::new("order-17-paid")?;
/// let publication = Publication::new("orders", Event::text("paid"))?.with_idempotency_key(key);
/// let first = hub.publish_publication(publication.clone()).await?;
/// let again = hub.publish_publication(publication).await?;
/// assert_eq!(first.position, again.position);
/// # Ok::<(), tidecast::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Publication {
    /// The channel to publish to.
    pub channel: Channel,
    /// The event to publish.
    pub event: Event,
    /// The key under which repeating the publish is harmless. `None` publishes each time.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Publication {
    /// Creates a publication without an idempotency key.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if the channel's name is invalid.
    pub fn new<C>(channel: C, event: Event) -> Result<Self>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        Ok(Self { channel: channel.try_into()?, event, idempotency_key: None })
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(key);
        self
    }
}

/// The result of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The channel.
    pub channel: Channel,
    /// The event's id: its own, or its position as text.
    pub id: String,
    /// The position of the event.
    pub position: Position,
    /// The number of subscriptions on this node that read the channel at that moment.
    pub receivers: usize,
    /// The idempotency key had been used, so this is the result of the first publish.
    pub repeated: bool,
    /// The key had been used for a different event. The event of this publish is dropped.
    pub differs: bool,
    /// The event is accepted, but this node has no connection to its broker at the moment. The readers of this node get the
    /// event once it has.
    pub delayed: bool,
}

impl Published {
    /// Creates the result of a publication that was accepted now.
    #[must_use]
    pub fn new(publication: &Publication, position: Position, receivers: usize) -> Self {
        let id = event_id(&publication.event, position);
        let channel = publication.channel.clone();
        Self { channel, id, position, receivers, repeated: false, differs: false, delayed: false }
    }
}

/// Returns the id of an event at a position: its own, or the position as text.
pub(super) fn event_id(event: &Event, position: Position) -> String {
    event.id().map_or_else(|| position.to_string(), ToString::to_string)
}
