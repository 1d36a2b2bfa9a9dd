//! Publishing: an event is checked against the limits and handed to the broker.

use crate::{
    Channel, Error, Event, Hub, IdempotencyKey, Result,
    broker::{Publication, Published},
};

impl Hub {
    /// Publishes an event to a channel.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a channel's name that can't be one and for JSON that is nested too deep or has too long a
    /// number, [`Error::is_too_large`], [`Error::is_closed`], and [`Error::is_unavailable`] where the broker could not be asked.
    ///
    /// # Cancel safety
    ///
    /// In memory the event is published at the first poll. With another broker it is unknown whether a publish that was
    /// dropped half-way was accepted; repeat it with [`publish_once`](Self::publish_once).
    pub async fn publish<C>(&self, channel: C, event: Event) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication(Publication { channel: channel.try_into()?, event, idempotency_key: None }).await
    }

    /// Publishes an event unless this key was used in this channel within
    /// [`Limits::idempotency_age_max`](crate::Limits::idempotency_age_max): then it answers as the first time and delivers nothing.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// A publish that was dropped may be repeated with the same key.
    pub async fn publish_once<C>(&self, channel: C, event: Event, key: IdempotencyKey) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication(Publication { channel: channel.try_into()?, event, idempotency_key: Some(key) }).await
    }

    /// Publishes an event that is already addressed.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_publication(&self, publication: Publication) -> Result<Published> {
        self.check_open()?;
        self.check(&publication.event)?;
        let published = match self.inner.broker.publish_now(&publication) {
            Some(published) => published,
            None => self.inner.broker.publish(publication).await,
        };
        self.inner.counters.count_published(published)
    }

    /// Publishes without a future, for programs without a runtime.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); also [`Error::is_unavailable`] if the hub's broker is not in memory, as it may
    /// have to wait.
    pub fn publish_now<C>(&self, channel: C, event: Event) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication_now(&Publication { channel: channel.try_into()?, event, idempotency_key: None })
    }

    /// [`publish_once`](Self::publish_once) without a future.
    ///
    /// # Errors
    ///
    /// As [`publish_now`](Self::publish_now).
    pub fn publish_once_now<C>(&self, channel: C, event: Event, key: IdempotencyKey) -> Result<Published>
    where
        C: TryInto<Channel>,
        Error: From<C::Error>,
    {
        self.publish_publication_now(&Publication { channel: channel.try_into()?, event, idempotency_key: Some(key) })
    }

    /// [`publish_publication`](Self::publish_publication) without a future.
    ///
    /// # Errors
    ///
    /// As [`publish_now`](Self::publish_now).
    pub fn publish_publication_now(&self, publication: &Publication) -> Result<Published> {
        self.check_open()?;
        self.check(&publication.event)?;
        let published = self.inner.broker.publish_now(publication).unwrap_or_else(|| {
            Err(Error::unavailable("this hub's broker may have to wait, so publishing needs a future"))
        });
        self.inner.counters.count_published(published)
    }

    /// Checks an event against the limits, as publishing does first.
    ///
    /// # Errors
    ///
    /// Those of [`Limits::check`](crate::Limits::check).
    pub fn check(&self, event: &Event) -> Result<()> {
        self.limits().check(event)
    }
}
