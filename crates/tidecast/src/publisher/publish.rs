//! Publishing to feeds: one event for every subscriber, or an event made for each.

use std::sync::Arc;

use super::{Publisher, PublisherState, fan_out::FanOutReport, feed_batch::FeedBatch, parse};
use crate::{Channel, Error, Event, Frame, Result};

impl<P> Publisher<P> {
    /// Publishes an event to every subscriber of these channels, and returns the number of copies.
    ///
    /// It waits only for subscribers with [`WhenFull::Wait`](crate::WhenFull::Wait) whose feed is full. Until they have
    /// room, nobody gets the event; then all get it at once. That takes as long as the slowest of them, so use your
    /// runtime's timeout if they may stall.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if a channel's name is invalid, or if the data is JSON that is nested too deep or has too long
    /// a number; [`Error::is_too_large`].
    ///
    /// # Cancel safety
    ///
    /// A publish that is dropped before it completes has published nothing.
    pub async fn publish<I>(&self, channels: I, event: Event) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let batch = self.shared_batch(channels, &event)?;
        Ok(self.state.finish(&self.state.fan_out.publish(&batch).await))
    }

    /// Publishes an event without a future, for programs without a runtime.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); also [`Error::is_unavailable`] if it would have to wait. Nobody got the event then.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidecast::{Event, FeedOptions, Publisher};
    ///
    /// let publisher = Publisher::new();
    /// let _feed = publisher.subscribe(["news", "weather"], (), FeedOptions::default())?;
    /// assert_eq!(publisher.publish_now(["news"], Event::text("hello"))?, 1);
    /// assert_eq!(publisher.publish_now(["news", "weather"], Event::text("hello"))?, 2);
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "every method that publishes takes the event by value")]
    pub fn publish_now<I>(&self, channels: I, event: Event) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let batch = self.shared_batch(channels, &event)?;
        self.state.publish_now(&batch)
    }

    /// Publishes an event that `event_for` makes for each subscriber of these channels, and returns the number of events.
    ///
    /// `event_for` is called at once with the properties of each subscriber, in the order in which they came, channel by
    /// channel. A subscriber for which it returns `None` gets nothing. An error ends the calls and is returned: subscribers
    /// before it get their events, those after it do not. Events are delivered after the last call, so `event_for` may use
    /// this publisher.
    ///
    /// It waits as [`publish`](Self::publish) does, for subscribers that get an event.
    ///
    /// # Errors
    ///
    /// Those of `event_for`; [`Error::is_invalid`] if a channel's name is invalid; [`Error::is_invalid`] or
    /// [`Error::is_too_large`] for an event that `event_for` made, as if it had returned the error.
    ///
    /// # Cancel safety
    ///
    /// A publish that is dropped before it completes has published nothing, though `event_for` may have been called.
    pub async fn publish_with<I, F, E>(&self, channels: I, event_for: F) -> Result<usize, E>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
        F: FnMut(&P) -> Result<Option<Event>, E>,
        E: From<Error>,
    {
        let (batch, outcome) = self.individual_batch(channels, event_for)?;
        let copies = self.state.finish(&self.state.fan_out.publish(&batch).await);
        outcome.map(|()| copies)
    }

    /// Publishes as [`publish_with`](Self::publish_with) does, without a future.
    ///
    /// # Errors
    ///
    /// As [`publish_with`](Self::publish_with); also [`Error::is_unavailable`] if it would have to wait. Nobody got an event
    /// then.
    pub fn publish_with_now<I, F, E>(&self, channels: I, event_for: F) -> Result<usize, E>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
        F: FnMut(&P) -> Result<Option<Event>, E>,
        E: From<Error>,
    {
        let (batch, outcome) = self.individual_batch(channels, event_for)?;
        let copies = self.state.publish_now(&batch);
        // The program's own error comes first.
        outcome?;
        Ok(copies?)
    }

    /// Encodes one frame for every subscriber.
    fn shared_batch<I>(&self, channels: I, event: &Event) -> Result<FeedBatch<P>>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let channels = parse(channels)?;
        self.state.limits.check(event)?;
        let frame = Frame::without_position(event);
        Ok(FeedBatch::Shared { lists: self.state.subscribers.lock().lists(&channels), frame })
    }

    /// Encodes a frame for each subscriber for which `event_for` makes an event, up to its first error.
    fn individual_batch<I, F, E>(&self, channels: I, mut event_for: F) -> Result<(FeedBatch<P>, Result<(), E>)>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
        F: FnMut(&P) -> Result<Option<Event>, E>,
        E: From<Error>,
    {
        let channels = parse(channels)?;
        let lists = self.state.subscribers.lock().lists(&channels);
        let mut frames = Vec::new();
        let outcome = lists.iter().flat_map(|list| list.iter()).try_for_each(|subscriber| {
            if let Some(event) = event_for(&subscriber.properties)? {
                self.state.limits.check(&event)?;
                frames.push((Arc::clone(subscriber), Frame::without_position(&event)));
            }
            Ok(())
        });
        Ok((FeedBatch::Individual(frames), outcome))
    }
}

impl<P> PublisherState<P> {
    fn publish_now(&self, batch: &FeedBatch<P>) -> Result<usize> {
        let report = self.fan_out.publish_now(batch);
        report.map(|report| self.finish(&report)).ok_or_else(|| {
            Error::unavailable("a subscriber that publishers wait for has no room, so publishing needs a future")
        })
    }

    /// Removes the subscribers whose feed ended, and returns the number of copies.
    fn finish(&self, report: &FanOutReport) -> usize {
        self.remove(&report.ended);
        report.copies
    }
}
