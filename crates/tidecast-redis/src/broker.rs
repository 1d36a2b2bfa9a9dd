//! The broker. A stand-in that is always away, until the real one is merged.

use tidecast::{
    Channel, Error, Publication, Published, Result,
    broker::{Broker, BrokerFuture, Deliveries, History, Since},
};

use crate::RedisConfig;

/// Events through Redis.
#[derive(Debug)]
pub struct RedisBroker {
    config: RedisConfig,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Whether Redis answers.
    pub connected: bool,
    /// How often the listener connected again.
    pub reconnects: u64,
    /// How often a log was filled after a gap.
    pub gaps_filled: u64,
    /// Events of programs that are not Tidecast.
    pub foreign: u64,
    /// Payloads that are no event.
    pub poison: u64,
    /// Events that were accepted.
    pub published: u64,
    /// Events that were not.
    pub publish_failures: u64,
    /// Channels that are listened to.
    pub subscribed_channels: u64,
}

impl RedisBroker {
    /// A broker.
    ///
    /// # Errors
    ///
    /// Outside of a runtime.
    pub fn new(config: RedisConfig) -> Result<Self> {
        tokio::runtime::Handle::try_current().map_err(|_| Error::unavailable("there is no runtime"))?;
        Ok(Self { config })
    }

    /// What is counted.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        RedisStats::default()
    }

    fn away<T>(&self) -> BrokerFuture<'_, T>
    where
        T: Send + 'static,
    {
        Box::pin(async { Err(Error::unavailable(format!("Redis is away: {}", self.config))) })
    }
}

impl Broker for RedisBroker {
    fn start(&self, _deliveries: Deliveries) {}

    fn publish(&self, _publication: Publication) -> BrokerFuture<'_, Published> {
        self.away()
    }

    fn subscribe(&self, _channel: &Channel) {}

    fn release(&self, _channel: &Channel) {}

    fn history<'a>(&'a self, _: &'a Channel, _: Since, _: usize) -> BrokerFuture<'a, History> {
        self.away()
    }

    fn forget<'a>(&'a self, _: &'a Channel) -> BrokerFuture<'a, bool> {
        self.away()
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        self.away()
    }

    fn close(&self) {}
}
