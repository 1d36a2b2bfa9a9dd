//! Publishing: an event is checked against the limits and handed to the broker.

use super::Hub;
use crate::{
    Channel, Error, Event, Result,
    broker::{Publication, Published},
};

impl Hub {
    /// Publishes an event to a channel.
    ///
    /// # Errors
    ///
    /// - [`Error::is_invalid`] if the channel's name is invalid, or if the data is JSON that is nested too deep or has too
    ///   long a number
    /// - [`Error::is_too_large`]
    /// - [`Error::is_closed`]
    /// - [`Error::is_unavailable`] if the broker could not be reached
    ///
    /// # Cancel safety
    ///
    /// In memory the event is published at the first poll. With another broker it is unknown whether a dropped publish was
    /// accepted. To repeat it safely, use [`publish_publication`](Self::publish_publication) with an idempotency key.
    pub async fn publish<C>(&self, channel: C, event: Event) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication(Publication::new(channel, event)?).await
    }

    /// Publishes a publication: an event with its channel and, if wanted, an idempotency key.
    ///
    /// If the key was used in this channel within [`Limits::idempotency_age_max`](crate::Limits::idempotency_age_max), the
    /// result is that of the first time, and nothing is delivered.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish). A dropped publish may be repeated with the same key.
    pub async fn publish_publication(&self, publication: Publication) -> Result<Published> {
        self.check_open()?;
        self.check(&publication.event)?;
        let published = match self.state.broker.publish_now(&publication) {
            Some(published) => published,
            None => self.state.broker.publish(publication).await,
        };
        self.state.counters.count_published(published)
    }

    /// Publishes an event without a future, for programs without a runtime.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); also [`Error::is_unavailable`] if the hub's broker is not in memory, because it may
    /// have to wait.
    pub fn publish_now<C>(&self, channel: C, event: Event) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication_now(&Publication::new(channel, event)?)
    }

    /// Publishes a publication without a future, as [`publish_now`](Self::publish_now) does.
    #[doc(hidden)]
    pub fn publish_publication_now(&self, publication: &Publication) -> Result<Published> {
        self.check_open()?;
        self.check(&publication.event)?;
        let published = self.state.broker.publish_now(publication).unwrap_or_else(|| {
            Err(Error::unavailable("this hub's broker may have to wait, so publishing needs a future"))
        });
        self.state.counters.count_published(published)
    }

    /// Checks an event against the limits, as every publish does first.
    ///
    /// # Errors
    ///
    /// Those of [`Limits::check`](crate::Limits::check).
    pub fn check(&self, event: &Event) -> Result<()> {
        self.limits().check(event)
    }
}
