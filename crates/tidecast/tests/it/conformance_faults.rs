//! Brokers that break the contract, each in one way. The contract's functions find each of them.

use std::{
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidecast::{
    Channel, Error, Publication, Published, Result,
    broker::{Broker, BrokerFuture, Deliveries, EncodedEvent, History, MemoryBroker, Metric, Since},
    conformance,
};

use crate::support::now;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    IsNotReady,
    NeverOpens,
    IgnoresKeys,
    SharesKeysBetweenChannels,
    DoublesAnEvent,
    LosesAnEvent,
    ForgetsNothing,
    KnowsNothingToForget,
    ReadsTheNewestFirst,
    ReadsWithoutALimit,
    ReadsFromTheBeginning,
    CallsEverythingComplete,
    CountsNoReceivers,
    DropsControlMessages,
    SharesANameBetweenMetrics,
    PublishesAtOnceNowAndThen,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    inner: MemoryBroker,
    deliveries: OnceLock<Deliveries>,
    published: AtomicUsize,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { fault, inner: MemoryBroker::new(), deliveries: OnceLock::new(), published: AtomicUsize::new(0) }
    }

    fn answer(&self, mut publication: Publication) -> Result<Published> {
        let number = self.published.fetch_add(1, Ordering::SeqCst);
        let deliveries = self.deliveries.get().expect("the hub has started it");
        let channel = publication.channel.clone();
        match self.fault {
            Fault::IgnoresKeys => publication.idempotency_key = None,
            Fault::SharesKeysBetweenChannels if publication.idempotency_key.is_some() => {
                publication.channel = Channel::default();
            }
            Fault::DoublesAnEvent if number == 7 => {
                drop(deliveries.append(&channel, &EncodedEvent::new(&publication.event)));
            }
            Fault::LosesAnEvent if number == 7 => publication.channel = Channel::default(),
            _ => {}
        }
        let published = self.inner.publish_now(&publication).expect("memory never waits");
        published.map(|mut published| {
            published.channel = channel;
            if self.fault == Fault::CountsNoReceivers {
                published.receivers = 0;
            }
            published
        })
    }
}

impl Broker for Faulty {
    fn start(&self, deliveries: Deliveries) {
        self.deliveries.set(deliveries.clone()).expect("it is called once");
        self.inner.start(deliveries);
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        Box::pin(ready(self.answer(publication)))
    }

    fn publish_now(&self, publication: &Publication) -> Option<Result<Published>> {
        let now_and_then = self.fault == Fault::PublishesAtOnceNowAndThen;
        // Each publish adds to the count.
        let is_now = now_and_then && self.published.load(Ordering::SeqCst) == 0;
        is_now.then(|| self.answer(publication.clone()))
    }

    fn metrics(&self) -> Vec<Metric> {
        let count = if self.fault == Fault::SharesANameBetweenMetrics { 2 } else { 1 };
        vec![Metric::counter("faults", "Faults", 1); count]
    }

    fn subscribe(&self, channel: &Channel) {
        if self.fault != Fault::NeverOpens {
            self.inner.subscribe(channel);
        }
    }

    fn release(&self, channel: &Channel) {
        self.inner.release(channel);
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        let limit = if self.fault == Fault::ReadsWithoutALimit { usize::MAX } else { limit };
        let since = if self.fault == Fault::ReadsFromTheBeginning { Since::Newest } else { since };
        let history = now(self.inner.history(channel, since, limit)).map(|mut history| {
            if self.fault == Fault::ReadsTheNewestFirst {
                history.events.reverse();
            }
            history.complete |= self.fault == Fault::CallsEverythingComplete;
            history
        });
        Box::pin(ready(history))
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        match self.fault {
            Fault::ForgetsNothing => Box::pin(ready(Ok(true))),
            Fault::KnowsNothingToForget => Box::pin(ready(Ok(false))),
            _ => self.inner.forget(channel),
        }
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        match self.fault {
            Fault::DropsControlMessages => Box::pin(ready(Ok(()))),
            _ => self.inner.send_control(message),
        }
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        match self.fault {
            Fault::IsNotReady => Box::pin(ready(Err(Error::unavailable("it never is")))),
            _ => self.inner.ready(),
        }
    }

    fn close(&self) {
        self.inner.close();
    }
}

fn keeps_the_contract(fault: Fault) -> bool {
    let rules = || now(conformance::all(async || Arc::new(Faulty::new(fault))));
    catch_unwind(AssertUnwindSafe(rules)).is_ok()
}

#[test]
fn every_fault_is_found() {
    for fault in [
        Fault::IsNotReady,
        Fault::NeverOpens,
        Fault::IgnoresKeys,
        Fault::SharesKeysBetweenChannels,
        Fault::DoublesAnEvent,
        Fault::LosesAnEvent,
        Fault::ForgetsNothing,
        Fault::KnowsNothingToForget,
        Fault::ReadsTheNewestFirst,
        Fault::ReadsWithoutALimit,
        Fault::ReadsFromTheBeginning,
        Fault::CallsEverythingComplete,
        Fault::CountsNoReceivers,
        Fault::DropsControlMessages,
        Fault::SharesANameBetweenMetrics,
        Fault::PublishesAtOnceNowAndThen,
    ] {
        assert!(!keeps_the_contract(fault), "{fault:?}");
    }
}

#[test]
fn a_broker_without_a_fault_passes() {
    assert!(keeps_the_contract(Fault::None));
}
