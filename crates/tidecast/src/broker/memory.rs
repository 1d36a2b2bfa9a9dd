//! A broker within one process. Nothing outlives the process.
//!
//! The logs assign the positions, so this broker keeps idempotency keys only.

use std::{
    collections::{HashMap, VecDeque},
    future::ready,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    Broker, BrokerFuture, Deliveries,
    history::{History, Since},
    publication::{Publication, Published},
};
use crate::{Channel, Error, IdempotencyKey, Result, channel_log::Appended, sync::Mutex, wire::frame::EncodedEvent};

/// The broker for one process, and the default.
///
/// Every future that it returns is ready when first polled. Idempotency keys are remembered for
/// [`Limits::idempotency_age_max`](crate::Limits::idempotency_age_max), and at most
/// [`Limits::idempotency_keys_max`](crate::Limits::idempotency_keys_max) of them.
#[derive(Debug, Default)]
pub struct MemoryBroker {
    deliveries: OnceLock<Deliveries>,
    answered: Mutex<Answered>,
}

/// The results of earlier publishes by their keys. All channels share one lock, because the limit is on all keys and the
/// oldest goes first. It is held for a look-up and one append.
#[derive(Debug, Default)]
struct Answered {
    by_key: HashMap<Arc<Key>, FirstPublish>,
    by_age: VecDeque<(Duration, Arc<Key>)>,
}

type Key = (Channel, IdempotencyKey);

/// The publish that came first under a key.
#[derive(Debug)]
struct FirstPublish {
    published: Published,
    digest: u64,
}

impl MemoryBroker {
    /// Creates a broker without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn answer(&self, publication: &Publication) -> Result<Published> {
        let deliveries = self.deliveries.get().ok_or_else(Error::closed)?;
        let event = EncodedEvent::new(&publication.event);
        let append = || deliveries.append(&publication.channel, &event).appended().ok_or_else(Error::closed);
        let published = |appended: &Appended| Published::new(publication, appended.position, appended.receivers);
        let Some(key) = &publication.idempotency_key else { return Ok(published(&append()?)) };

        let key = Arc::new((publication.channel.clone(), key.clone()));
        let digest = publication.event.digest();
        let now = deliveries.clock().now();
        let mut answered = self.answered.lock();
        answered.forget_old(now, deliveries.limits().idempotency_age_max);
        if let Some(first) = answered.by_key.get(&key) {
            return Ok(Published { repeated: true, differs: first.digest != digest, ..first.published.clone() });
        }
        let appended = append()?;
        let published = published(&appended);
        answered.make_room(deliveries.limits().idempotency_keys_max);
        answered.by_age.push_back((now, key.clone()));
        answered.by_key.insert(key, FirstPublish { published: published.clone(), digest });
        // In this order: the readers are woken after the lock is released.
        drop(answered);
        drop(appended);
        Ok(published)
    }
}

impl Broker for MemoryBroker {
    fn start(&self, deliveries: Deliveries) {
        assert!(self.deliveries.set(deliveries).is_ok(), "a broker serves one hub");
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        Box::pin(ready(self.answer(&publication)))
    }

    fn publish_now(&self, publication: &Publication) -> Option<Result<Published>> {
        Some(self.answer(publication))
    }

    fn subscribe(&self, channel: &Channel) {
        if let Some(deliveries) = self.deliveries.get() {
            deliveries.open(channel);
        }
    }

    fn release(&self, _channel: &Channel) {}

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        let past = self.deliveries.get().map(|deliveries| deliveries.past(channel, since, limit));
        Box::pin(ready(past.ok_or_else(Error::closed)))
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        let was_known = self.deliveries.get().map(|deliveries| {
            // The keys go first. A key that is used in between goes with an event that is deleted right after, as if it had
            // been published just before.
            self.answered.lock().forget_channel(channel);
            deliveries.forget(channel)
        });
        Box::pin(ready(was_known.ok_or_else(Error::closed)))
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        let sent = self.deliveries.get().map(|deliveries| deliveries.control(message));
        Box::pin(ready(sent.ok_or_else(Error::closed)))
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn close(&self) {
        *self.answered.lock() = Answered::default();
    }
}

impl Answered {
    fn forget_old(&mut self, now: Duration, age_max: Duration) {
        while self.by_age.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= age_max) {
            self.forget_oldest();
        }
    }

    /// Makes room for one more key. The new key is kept whatever the limit.
    fn make_room(&mut self, keys_max: usize) {
        while !self.by_age.is_empty() && self.by_key.len() >= keys_max {
            self.forget_oldest();
        }
    }

    /// Forgets the keys of a channel. Visits all keys, because it is rare.
    fn forget_channel(&mut self, channel: &Channel) {
        self.by_key.retain(|key, _| key.0 != *channel);
        self.by_age.retain(|(_, key)| key.0 != *channel);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_front() {
            self.by_key.remove(&key);
        }
    }
}
