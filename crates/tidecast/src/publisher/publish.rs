//! Publishing: one event for all who are there, or one made for each of them.

use std::sync::Arc;

use super::{Inner, Publisher, fan_out::Posted, feed_batch::Addressed, parse};
use crate::{Channel, Error, Event, Frame, Result};

impl<P> Publisher<P> {
    /// Publishes an event to all who are in these channels, and answers how many copies that were.
    ///
    /// It waits only where somebody subscribed with [`WhenFull::Wait`](crate::WhenFull::Wait) and has no room: until then
    /// nobody is given it, and then all are at once. That takes as long as the slowest of them, so bound it with your
    /// runtime's timeout where they may stall.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a name that can't be a channel's, [`Error::is_too_large`].
    ///
    /// # Cancel safety
    ///
    /// A publish that is dropped before it is done has published nothing.
    pub async fn publish<I>(&self, channels: I, event: Event) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let addressed = self.address(channels, &event)?;
        Ok(self.inner.posted(&self.inner.fan_out.post(&addressed).await))
    }

    /// Publishes without a future, for programs without a runtime.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); also [`Error::is_unavailable`] where that would wait. Nobody was given it then.
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
    #[expect(clippy::needless_pass_by_value, reason = "as everything that publishes takes it")]
    pub fn publish_now<I>(&self, channels: I, event: Event) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let addressed = self.address(channels, &event)?;
        self.inner.post_now(&addressed)
    }

    /// Publishes what `event_for` makes of the properties of each who is in these channels, and answers how many events
    /// that were.
    ///
    /// It is called at once, in the order in which they came, channel by channel. For whom it makes `None` there is nothing.
    /// An error ends it and is the answer: who came before has its event, who comes after has not. What it makes is only
    /// given to them after the last call, so it may use this publisher.
    ///
    /// It waits as [`publish`](Self::publish) does, if those that an event was made for have no room.
    ///
    /// # Errors
    ///
    /// Those of `event_for`; [`Error::is_invalid`] for a name that can't be a channel's; [`Error::is_too_large`] for an
    /// event that it made, as if it were an error of its own.
    ///
    /// # Cancel safety
    ///
    /// A publish that is dropped before it is done has published nothing, though `event_for` may have been called.
    pub async fn publish_with<I, F, E>(&self, channels: I, event_for: F) -> Result<usize, E>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
        F: FnMut(&P) -> Result<Option<Event>, E>,
        E: From<Error>,
    {
        let (addressed, outcome) = self.address_each(channels, event_for)?;
        let copies = self.inner.posted(&self.inner.fan_out.post(&addressed).await);
        outcome.map(|()| copies)
    }

    /// [`publish_with`](Self::publish_with) without a future.
    ///
    /// # Errors
    ///
    /// As [`publish_with`](Self::publish_with); also [`Error::is_unavailable`] where that would wait. Nobody was given
    /// anything then.
    pub fn publish_with_now<I, F, E>(&self, channels: I, event_for: F) -> Result<usize, E>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
        F: FnMut(&P) -> Result<Option<Event>, E>,
        E: From<Error>,
    {
        let (addressed, outcome) = self.address_each(channels, event_for)?;
        let copies = self.inner.post_now(&addressed);
        // The program's own error is what it asks about first.
        outcome?;
        Ok(copies?)
    }

    /// One frame for all who are there.
    fn address<I>(&self, channels: I, event: &Event) -> Result<Addressed<P>>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        let channels = parse(channels)?;
        self.inner.limits.check(event)?;
        let frame = Frame::without_position(event);
        Ok(Addressed::ToAll { lists: self.inner.members.lock().lists(&channels), frame })
    }

    /// A frame for each for whom one is made, up to an error.
    fn address_each<I, F, E>(&self, channels: I, mut event_for: F) -> Result<(Addressed<P>, Result<(), E>)>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
        F: FnMut(&P) -> Result<Option<Event>, E>,
        E: From<Error>,
    {
        let channels = parse(channels)?;
        let lists = self.inner.members.lock().lists(&channels);
        let mut frames = Vec::new();
        let outcome = lists.iter().flat_map(|list| list.iter()).try_for_each(|member| {
            if let Some(event) = event_for(&member.properties)? {
                self.inner.limits.check(&event)?;
                frames.push((Arc::clone(member), Frame::without_position(&event)));
            }
            Ok(())
        });
        Ok((Addressed::ToEach(frames), outcome))
    }
}

impl<P> Inner<P> {
    fn post_now(&self, addressed: &Addressed<P>) -> Result<usize> {
        let posted = self.fan_out.post_now(addressed);
        posted.map(|posted| self.posted(&posted)).ok_or_else(|| {
            Error::unavailable("a subscriber that publishers wait for has no room, so publishing needs a future")
        })
    }

    /// Removes those whose feed ended by what was posted, and answers how many were given something.
    fn posted(&self, posted: &Posted) -> usize {
        self.remove(&posted.ended);
        posted.copies
    }
}
