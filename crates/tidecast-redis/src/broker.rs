//! The broker: the contract of `tidecast::broker::Broker`, kept by scripts in Redis and a listener here.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tidecast::{
    Channel, Error, Position, Publication, Published, Result,
    broker::{BackfillLimits, Broker, BrokerFuture, Deliveries, FoundId, Head, History, Metric, Since},
    limits::{BACKFILL_BYTES_MAX, BACKFILL_EVENTS_MAX},
};
use tokio::{runtime::Handle, sync::Semaphore, time};

use crate::{
    RedisConfig,
    context::{BrokerContext, PAGE_BYTES_MAX, past_events},
    error::CallError,
    pubsub::{manager::PubSubManager, worker::control_payload},
    receipt::Receipt,
    scripts::{FindId, Forget, Publish, PublishTarget, Retention},
    stats::{RedisStats, count},
};

/// How long a reader that waits for Redis waits at most before it is asked again, whatever the listener says.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How many look-ups of ids run at once; others wait. Clients choose the ids, and each look-up has Redis read up to
/// [`BACKFILL_BYTES_MAX`].
const LOOKUPS_AT_ONCE: usize = 4;

/// Most events that one call of a look-up has Redis look at.
const LOOKUP_EVENTS: usize = 1_000;

/// The broker that has many nodes share every channel, through Redis.
///
/// It keeps two connections to a server, or to each server of a Cluster that it needs: one for commands, one that
/// listens. Both are made again for ever when they end; meanwhile publishing is [unavailable](Error::is_unavailable),
/// readers stay, and what they missed comes once Redis is back.
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
    /// A broker that connects once a hub has it. Redis may be away.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] where a certificate that the configuration names can't be read, and
    /// [`Error::is_unavailable`] outside of a tokio runtime: the broker's tasks run on the one that this is called in.
    pub fn new(config: RedisConfig) -> Result<Self> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::unavailable("redis needs a tokio runtime").with_source(error))?;
        let context = BrokerContext::new(config)?;
        let manager = PubSubManager::new(context.clone(), runtime.clone());
        Ok(Self { context, manager, runtime, lookups: Semaphore::new(LOOKUPS_AT_ONCE) })
    }

    /// What has happened so far, and how things stand.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        self.context.subscriptions.counters.stats(*self.context.connected.borrow(), self.context.subscriptions.len())
    }

    async fn answer(&self, publication: Publication) -> Result<Published> {
        let context = &self.context;
        let deliveries = self.deliveries()?;
        let Publication { channel, event, idempotency_key } = &publication;
        let keys = context.keys.channel(channel);
        let name = context.name(channel);
        let answer = Receipt::new(&publication, deliveries.readers(channel)).to_string();
        let publish = Publish {
            keys: &keys,
            event,
            idempotency_key: idempotency_key.as_ref(),
            answer: &answer,
            target: PublishTarget {
                name: &String::from_utf8_lossy(&name),
                sharded: context.config.is_sharded(),
                format: context.config.plain_format,
            },
            keep: &Retention {
                events_max: if context.config.keeps_history() { context.config.history_events_max } else { 0 },
                events_age_max: context.config.history_age_max,
                idle_age_max: context.config.counter_age_max(),
                idempotency_age_max: deliveries.limits().idempotency_age_max,
            },
            seen: &context.seen_replication_ids(),
        };
        let reply = context.commands.call(publish.call()).await.map_err(|failure| publish_failed(context, &failure))?;
        let accepted = Publish::parse(reply)
            .map_err(|malformed| publish_failed(context, &CallError::Protocol(malformed.to_string())))?;
        context.write_error.clear();
        context.record_server(&accepted.server);
        if !accepted.repeated {
            count(&context.subscriptions.counters.published);
        }
        let answer = Receipt::parse(&accepted.answer);
        let mut published = answer.published(&publication, accepted.position, accepted.repeated);
        published.delayed = !*context.connected.borrow();
        Ok(published)
    }

    async fn read(&self, channel: &Channel, since: Since, limit: usize, bytes_max: usize) -> Result<History> {
        let deliveries = self.deliveries()?;
        let page =
            self.context.page(channel, since, limit, bytes_max).await.map_err(|failure| unavailable(&failure))?;
        let asked_from_start = matches!(since, Since::Newest | Since::After(Position::START));
        let Some(filled) = page else { return Ok(History::new(Vec::new(), asked_from_start)) };
        let mut head = filled.head;
        if let Since::After(after) = since
            && after != Position::START
            && after.epoch != filled.head.epoch
        {
            let is_origin = after.offset == 0 && filled.origins.contains(&after.epoch);
            if !is_origin {
                return Ok(History::new(Vec::new(), false).with_head(filled.head));
            }
            // The channel was known by that epoch, and has come to all of it.
            head.epoch = after.epoch;
        }
        Ok(History::new(past_events(&filled, deliveries.limits()), filled.complete).with_head(head))
    }

    /// Reads, however long Redis is away.
    async fn read_at_last(&self, channel: &Channel, since: Since, limit: usize) -> Result<History> {
        let mut changes = self.context.connected.subscribe();
        loop {
            match self.read(channel, since, limit, PAGE_BYTES_MAX).await {
                Err(error) if error.is_unavailable() => {
                    // Until Redis is back, or for a moment: it may be the commands alone that fail.
                    let _ = time::timeout(ASK_AGAIN, changes.changed()).await;
                }
                answer => return answer,
            }
        }
    }

    /// Searches the history for an id from a position back to older events, however long Redis is away. It searches as
    /// far as a reader would be given events: what is further back is told by a reset in any case.
    async fn find_at_last(&self, channel: &Channel, id: &str, tail: Position) -> Result<Option<FoundId>> {
        let keys = self.context.keys.channel(channel);
        let mut changes = self.context.connected.subscribe();
        let (mut last, mut events_left, mut bytes_left) = (tail.offset, BACKFILL_EVENTS_MAX, BACKFILL_BYTES_MAX);
        let (mut oldest, mut found) = (None, 0);
        loop {
            let (limit, bytes_max) = (events_left.min(LOOKUP_EVENTS), bytes_left.min(PAGE_BYTES_MAX));
            let find = FindId { keys: &keys, id, last, limit, bytes_max };
            // Not held while Redis is away, as in a Cluster it may be away for some channels only.
            let reply = {
                let _turn = self.lookups.acquire().await.map_err(|_| Error::closed())?;
                self.context.commands.call(find.call()).await
            };
            let searched = match reply.map(FindId::parse) {
                Ok(searched) => {
                    searched.map_err(|malformed| unavailable(&CallError::Protocol(malformed.to_string())))?
                }
                Err(_) => {
                    let _ = time::timeout(ASK_AGAIN, changes.changed()).await;
                    continue;
                }
            };
            let Some(searched) = searched else { return Ok(None) };
            oldest = searched.oldest.or(oldest);
            found += searched.found;
            last = searched.before;
            events_left = events_left.saturating_sub(searched.events);
            bytes_left = bytes_left.saturating_sub(searched.bytes);
            let all_of_it = searched.ended || last == 0;
            if all_of_it || events_left == 0 || bytes_left == 0 {
                // Otherwise there may be others.
                let is_repeated = found > 1 || !all_of_it;
                return Ok(oldest.map(|position| FoundId { position, is_repeated }));
            }
        }
    }

    /// Ends a future when the broker is closed: a reader that waits for a Redis which does not answer must not keep a
    /// hub from ending.
    async fn unless_closed<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.context.until_closed() => Err(Error::closed()),
            answer = future => answer,
        }
    }

    /// Has a future find the broker's runtime, as a hub may be asked in threads that have none.
    fn on_runtime<'a, T>(&'a self, future: impl Future<Output = Result<T>> + Send + 'a) -> BrokerFuture<'a, T> {
        let mut future = Box::pin(future);
        Box::pin(poll_fn(move |context| {
            let _inside = self.runtime.enter();
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
        assert!(self.context.subscriptions.start(deliveries), "a broker serves one hub");
        self.manager.start();
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        self.on_runtime(self.answer(publication))
    }

    fn subscribe(&self, channel: &Channel) {
        self.manager.subscribe(channel);
    }

    fn release(&self, channel: &Channel) {
        self.manager.release(channel);
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.on_runtime(self.read(channel, since, limit, BACKFILL_BYTES_MAX))
    }

    fn backfill_limits(&self) -> Option<BackfillLimits> {
        self.context.config.keeps_history().then(BackfillLimits::default)
    }

    fn backfill<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.on_runtime(self.unless_closed(self.read_at_last(channel, since, limit)))
    }

    fn find_id<'a>(&'a self, channel: &'a Channel, id: &'a str, tail: Position) -> BrokerFuture<'a, Option<FoundId>> {
        self.on_runtime(self.unless_closed(self.find_at_last(channel, id, tail)))
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        self.on_runtime(async move {
            let context = &self.context;
            let deliveries = self.deliveries()?;
            let keys = context.keys.channel(channel);
            let name = context.name(channel);
            let forget = Forget {
                keys: &keys,
                idle_age_max: context.config.counter_age_max(),
                control: &context.keys.control(),
                message: &name,
            };
            let reply = context.commands.call(forget.call()).await.map_err(|failure| unavailable(&failure))?;
            let forgotten =
                Forget::parse(reply).map_err(|malformed| unavailable(&CallError::Protocol(malformed.to_string())))?;
            let was_here = deliveries.position(channel).is_some();
            if let Some(start) = forgotten
                && was_here
            {
                // The other nodes hear of it; this one need not wait until it does.
                deliveries.open_at(channel, &Head::new(start));
            }
            Ok(forgotten.is_some() || was_here)
        })
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        self.on_runtime(async move {
            self.deliveries()?;
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(self.context.keys.control()).arg(control_payload(message));
            let sent = self.context.commands.command(None, publish, true).await;
            sent.map(drop).map_err(|error| unavailable(&error))
        })
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        self.on_runtime(async move {
            if self.context.is_closed() {
                return Err(Error::closed());
            }
            self.context.commands.ping().await.map_err(|failure| unavailable(&failure))?;
            if let Some(message) = self.context.write_error.current() {
                return Err(unavailable(&CallError::Rejected(message)));
            }
            // Just begun or just back, the connection that listens may be on its way yet.
            let mut connected = self.context.connected.subscribe();
            if time::timeout(ASK_AGAIN, connected.wait_for(|connected| *connected)).await.is_err() {
                return Err(Error::unavailable("redis answers, but the connection that listens does not stand yet"));
            }
            Ok(())
        })
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

fn publish_failed(context: &BrokerContext, failure: &CallError) -> Error {
    count(&context.subscriptions.counters.publish_failures);
    // Redis being away is told by who listens.
    if let CallError::Rejected(message) | CallError::Protocol(message) = failure {
        context.write_error.record(message);
    }
    unavailable(failure)
}

fn unavailable(failure: &CallError) -> Error {
    let maybe_executed =
        matches!(failure, CallError::Unavailable { maybe_executed: true, .. } | CallError::Protocol(_));
    let error = Error::unavailable(format!("redis: {failure}"));
    if maybe_executed { error.in_doubt() } else { error }
}
