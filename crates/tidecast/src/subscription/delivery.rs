//! What a subscriber is given: an event, or the word that events are missing.

use crate::{Channel, Cursor, Event, Frame, Position};

/// What a subscriber is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event.
    Event(Delivered),
    /// Events are missing here.
    Reset(Reset),
}

/// An event, for one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The channel it was published to.
    pub channel: Channel,
    /// The event as wire bytes.
    pub frame: Frame,
    /// Where it stands in its channel; for one that came past Tidecast, where the one before it stands.
    pub position: Position,
    /// Where the subscription stands after it.
    pub cursor: Cursor,
}

impl Delivered {
    /// The event as it was published, but for its line ends, which are LF: a copy, made at each call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidecast::{Delivery, Event, Hub, Start};
    /// # fn next(subscription: &mut tidecast::Subscription) -> Option<Delivery> {
    /// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     let next = std::pin::pin!(subscription.next()).poll(&mut context);
    /// #     if let std::task::Poll::Ready(delivery) = next { delivery } else { None }
    /// # }
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe(["sse"], Start::Live)?;
    /// hub.publish_now("sse", Event::json(&17)?)?;
    /// hub.publish_now("sse", Event::text("17"))?;
    /// let Some(Delivery::Event(number)) = next(&mut subscription) else { panic!("an event") };
    /// let Some(Delivery::Event(text)) = next(&mut subscription) else { panic!("an event") };
    /// // Of the same bytes.
    /// assert!(number.event().data_json().is_some());
    /// assert!(text.event().data_json().is_none());
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    #[must_use]
    pub fn event(&self) -> Event {
        self.frame.event(self.position)
    }
}

/// Events are missing, or may come again: a program that shows state made of events should fetch it anew.
///
/// On the wire it is an event of type `stream-reset`. What follows it begins with the oldest that is still there, so
/// events that were seen may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reset {
    /// The channel concerned.
    pub channel: Channel,
    /// Why.
    pub reason: ResetReason,
    /// Where in this channel the subscription goes on.
    pub resumed_at: Position,
    /// Where the whole subscription stands.
    pub cursor: Cursor,
}

/// Why events may be missing, or may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetReason {
    /// What follows the position that was asked for is no longer kept.
    Expired,
    /// The channel's log has started over since.
    Restarted,
    /// The id that was asked for says nothing here.
    UnknownId,
    /// The subscriber read more slowly than the log forgets.
    TooSlow,
    /// Several events have the id that was asked for, so some may come again.
    AmbiguousId,
}

impl ResetReason {
    /// The reason as the wire has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Restarted => "restarted",
            Self::UnknownId => "unknown-id",
            Self::TooSlow => "too-slow",
            Self::AmbiguousId => "ambiguous-id",
        }
    }
}
