//! A broker that is slow to open channels; [`opening`](crate::opening) shows the consequences for subscribers.

use std::{collections::VecDeque, future::poll_fn, sync::OnceLock, task::Poll};

use parking_lot::Mutex;
use tidecast::{
    Channel, Error, Publication, Published,
    broker::{Broker, BrokerFuture, Deliveries, EncodedEvent, History, Since},
};

use crate::support::name;

/// Opens a channel when a test calls it. Until then it holds back the events that are published there.
#[derive(Debug, Default)]
pub(crate) struct Late {
    deliveries: OnceLock<Deliveries>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    held_back: VecDeque<Publication>,
    released: usize,
}

impl Late {
    pub(crate) fn deliveries(&self) -> &Deliveries {
        self.deliveries.get().expect("the hub has started it")
    }

    pub(crate) fn open(&self, channel: &str) {
        self.deliveries().open(&name(channel));
        let mut state = self.state.lock();
        state.open = true;
        for publication in state.held_back.drain(..) {
            self.append(&publication);
        }
    }

    /// Lets publishes from now on open the channel themselves.
    pub(crate) fn stop_holding_back(&self) {
        self.state.lock().open = true;
    }

    /// Returns how many channels it was told have no reader.
    pub(crate) fn released(&self) -> usize {
        self.state.lock().released
    }

    fn append(&self, publication: &Publication) -> Published {
        let appended = self.deliveries().append(&publication.channel, &EncodedEvent::new(&publication.event));
        let appended = appended.appended().expect("the hub is there");
        Published::new(publication, appended.position, appended.receivers)
    }
}

impl Broker for Late {
    fn start(&self, deliveries: Deliveries) {
        self.deliveries.set(deliveries).expect("it is called once");
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        let mut publication = Some(publication);
        Box::pin(poll_fn(move |_| {
            let mut state = self.state.lock();
            match publication.take() {
                Some(publication) if state.open => Poll::Ready(Ok(self.append(&publication))),
                Some(publication) => {
                    state.held_back.push_back(publication);
                    Poll::Ready(Err(Error::unavailable("accepted, and not yet delivered")))
                }
                None => Poll::Pending,
            }
        }))
    }

    fn subscribe(&self, _channel: &Channel) {}

    fn release(&self, _channel: &Channel) {
        self.state.lock().released += 1;
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        Box::pin(std::future::ready(Ok(self.deliveries().past(channel, since, limit))))
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        Box::pin(std::future::ready(Ok(self.deliveries().forget(channel))))
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        self.deliveries().control(message);
        Box::pin(std::future::ready(Ok(())))
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(&self) {}
}
