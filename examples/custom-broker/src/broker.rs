//! The broker of a node: translates Tidecast's calls into those of the bus.

use std::{
    future::ready,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidecast::{
    Channel, Error, Publication, Published,
    broker::{BackfillLimits, Broker, BrokerFuture, Deliveries, History, Since},
};

use crate::bus::Bus;

/// A broker for one hub, on a bus that several hubs share.
#[derive(Debug)]
pub(crate) struct BusBroker {
    bus: Arc<Bus>,
    node: usize,
    deliveries: OnceLock<Deliveries>,
}

impl BusBroker {
    pub(crate) fn new(bus: Arc<Bus>) -> Self {
        static NODES: AtomicUsize = AtomicUsize::new(0);
        Self { bus, node: NODES.fetch_add(1, Ordering::Relaxed), deliveries: OnceLock::new() }
    }
}

impl Broker for BusBroker {
    fn start(&self, deliveries: Deliveries) {
        assert!(self.deliveries.set(deliveries.clone()).is_ok(), "a broker serves one hub");
        self.bus.add_node(self.node, deliveries);
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        // Over a network this would be an `async` block, and its errors `Error::unavailable`.
        let published = self.deliveries.get().ok_or_else(Error::closed).map(|deliveries| {
            let receivers = deliveries.readers(&publication.channel);
            self.bus.publish(&publication, receivers)
        });
        Box::pin(ready(published))
    }

    fn subscribe(&self, channel: &Channel) {
        if let Some(deliveries) = self.deliveries.get() {
            self.bus.subscribe(channel, self.node, deliveries);
        }
    }

    fn release(&self, channel: &Channel) {
        if let Some(deliveries) = self.deliveries.get() {
            self.bus.unsubscribe(channel, self.node, deliveries);
        }
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        Box::pin(ready(Ok(self.bus.history(channel, since, limit))))
    }

    fn backfill_limits(&self) -> Option<BackfillLimits> {
        Some(BackfillLimits::default())
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        Box::pin(ready(Ok(self.bus.forget(channel))))
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        self.bus.send_control(message);
        Box::pin(ready(Ok(())))
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn close(&self) {
        self.bus.remove_node(self.node);
    }
}
