//! The items of a subscription: events and resets.

use crate::{Channel, Cursor, Event, Frame, Position, Reset};

/// An item of a subscription. It is exhaustive, so that a program that reads events handles resets too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event.
    Event(Delivered),
    /// Events are missing here.
    Reset(Reset),
}

/// An event as one subscription gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The channel that the event was published to.
    pub channel: Channel,
    /// The event as wire bytes.
    pub frame: Frame,
    /// The position of the event in its channel. For an event that was published past Tidecast: the position of the event
    /// before it.
    pub position: Position,
    /// The cursor of the subscription after the event.
    pub cursor: Cursor,
}

impl Delivered {
    /// Returns the event as it was published, with LF as its line ends. Each call makes a copy.
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
    /// // Both have the same bytes.
    /// assert!(number.event().data_json().is_some());
    /// assert!(text.event().data_json().is_none());
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    #[must_use]
    pub fn event(&self) -> Event {
        self.frame.event(self.position)
    }
}
