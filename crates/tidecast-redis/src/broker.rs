//! The broker: keeps the contract of `tidecast::broker::Broker` by scripts that run in Redis and pub/sub workers here.

mod history;
mod publish;

use std::{future::poll_fn, sync::Arc, time::Duration};

use tidecast::{
    Channel, Error, Position, Publication, Published, Result,
    broker::{BackfillLimits, Broker, BrokerFuture, Deliveries, FoundId, Head, History, Metric, Since},
    limits::BACKFILL_BYTES_MAX,
};
use tokio::{runtime::Handle, sync::Semaphore, time};

use self::history::LOOKUPS_MAX;
use crate::{
    codec::ControlPayload, config::RedisConfig, error::CallError, pubsub::context::BrokerContext,
    pubsub::manager::PubSubManager, scripts::Forget, stats::RedisStats,
};

/// The longest pause before Redis is asked again, and how long `ready` waits for the pub/sub connections.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A broker through which hubs share their channels on Redis.
///
/// It keeps two connections to the server, or to each server of a Cluster that it needs: one for commands and one for
/// pub/sub. A connection that is lost is made again until that succeeds. Meanwhile publishing fails as
/// [unavailable](Error::is_unavailable) and streams stay open; once Redis is back they receive what they missed.
///
/// # Examples
///
/// ```no_run
/// use std::sync::Arc;
/// use tidecast::{Event, Hub};
/// use tidecast_redis::{RedisBroker, RedisConfig};
///
/// # async fn example() -> tidecast::Result<()> {
/// let config = RedisConfig::from_url("redis://localhost/0")?;
/// let hub = Hub::builder().broker(Arc::new(RedisBroker::new(config)?)).build();
/// hub.publish("sse", Event::text("hello")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RedisBroker {
    pub(crate) context: Arc<BrokerContext>,
    manager: Arc<PubSubManager>,
    runtime: Handle,
    lookups: Semaphore,
}

impl RedisBroker {
    /// Creates a broker, which connects once a hub is built with it. Redis need not be reachable yet.
    ///
    /// The broker's tasks run on the tokio runtime in which this is called.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if a certificate or key named by the configuration cannot be used, and
    /// [`Error::is_unavailable`] outside of a tokio runtime.
    pub fn new(config: RedisConfig) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|error| {
            Error::unavailable("redis: no tokio runtime: create the broker inside of one").with_source(error)
        })?;
        let context = BrokerContext::new(config)?;
        let manager = PubSubManager::new(context.clone(), runtime.clone());
        Ok(Self { context, manager, runtime, lookups: Semaphore::new(LOOKUPS_MAX) })
    }

    /// Returns the broker's counters and state.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        let subscriptions = &self.context.subscriptions;
        subscriptions.counters.stats(*self.context.connected.borrow(), subscriptions.len())
    }

    async fn delete(&self, channel: &Channel) -> Result<bool> {
        let context = &self.context;
        let deliveries = self.deliveries()?;
        let name = context.name(channel);
        let forget = Forget {
            keys: &context.keys.channel(channel),
            idle_age_max: context.config.counter_age_max(),
            control: context.keys.control(),
            message: &ControlPayload::Deleted(&name).encode(),
        };
        let reply = context.commands.call(forget.call()).await.map_err(|error| unavailable(&error))?;
        let start = Forget::parse(reply).map_err(|malformed| unavailable(&malformed.into()))?;
        let was_here = deliveries.position(channel).is_some();
        if let Some(start) = start
            && was_here
        {
            // The other nodes are told by a control message. This one need not wait for it.
            context.subscriptions.expect_epoch(&name, start.epoch);
            deliveries.open_at(channel, &Head::new(start));
        }
        Ok(start.is_some() || was_here)
    }

    async fn check_ready(&self) -> Result<()> {
        self.deliveries()?;
        self.context.commands.ping().await.map_err(|error| unavailable(&error))?;
        if let Some(reason) = self.context.write_error.current() {
            return Err(unavailable(&CallError::Rejected(reason)));
        }
        // Shortly after the start or a reconnect, the pub/sub connections may not be up yet.
        let mut connected = self.context.connected.subscribe();
        if time::timeout(RETRY_INTERVAL, connected.wait_for(|connected| *connected)).await.is_err() {
            return Err(Error::unavailable("redis answers, but not all pub/sub connections are up"));
        }
        Ok(())
    }

    /// Ends a future when the broker is closed, so that a reader that waits for Redis does not keep the hub from ending.
    async fn unless_closed<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.context.until_closed() => Err(Error::closed()),
            result = future => result,
        }
    }

    /// Polls a future inside the broker's runtime, because a hub may be used from threads that have none.
    fn on_runtime<'a, T>(&'a self, future: impl Future<Output = Result<T>> + Send + 'a) -> BrokerFuture<'a, T> {
        let mut future = Box::pin(future);
        Box::pin(poll_fn(move |context| {
            let _guard = self.runtime.enter();
            future.as_mut().poll(context)
        }))
    }

    fn deliveries(&self) -> Result<&Deliveries> {
        let deliveries = self.context.subscriptions.deliveries();
        deliveries.filter(|_| !self.context.is_closed()).ok_or_else(Error::closed)
    }
}

impl Broker for RedisBroker {
    fn start(&self, deliveries: Deliveries) {
        self.context.subscriptions.start(deliveries);
        self.manager.start();
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        self.on_runtime(self.publish_event(publication))
    }

    fn subscribe(&self, channel: &Channel) {
        self.manager.subscribe(channel);
    }

    fn release(&self, channel: &Channel) {
        self.manager.release(channel);
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.on_runtime(self.read_history(channel, since, limit, BACKFILL_BYTES_MAX))
    }

    fn backfill_limits(&self) -> Option<BackfillLimits> {
        self.context.config.keeps_history().then(BackfillLimits::default)
    }

    fn backfill<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.on_runtime(self.unless_closed(self.wait_for_history(channel, since, limit)))
    }

    fn find_id<'a>(&'a self, channel: &'a Channel, id: &'a str, tail: Position) -> BrokerFuture<'a, Option<FoundId>> {
        self.on_runtime(self.unless_closed(self.wait_for_id(channel, id, tail)))
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        self.on_runtime(self.delete(channel))
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        self.on_runtime(async move {
            self.deliveries()?;
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(self.context.keys.control()).arg(ControlPayload::Message(message).encode());
            let sent = self.context.commands.command(None, publish, true).await;
            sent.map(drop).map_err(|error| unavailable(&error))
        })
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        self.on_runtime(self.check_ready())
    }

    fn metrics(&self) -> Vec<Metric> {
        self.stats().metrics()
    }

    fn close(&self) {
        self.manager.close();
        self.context.close();
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        self.close();
    }
}

fn unavailable(error: &CallError) -> Error {
    let maybe_executed = matches!(error, CallError::Unavailable { maybe_executed: true, .. } | CallError::Protocol(_));
    let unavailable = Error::unavailable(format!("redis: {error}"));
    if maybe_executed { unavailable.in_doubt() } else { unavailable }
}
