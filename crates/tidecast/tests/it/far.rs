//! A broker of several nodes, each with its own hub, under the control of a test.
//!
//! Its history may reach further back than the nodes' logs. A node receives events at once, lags, or misses some. Answers
//! come at once, late, or not at all.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
};

use parking_lot::Mutex;
use tidecast::{
    Channel, Error, Event, Hub, Limits, Position, Publication, Published, Result,
    broker::{AppendOutcome, BackfillLimits, Broker, BrokerFuture, Deliveries, EncodedEvent, Head, History, Since},
    clock::ManualClock,
};

use crate::{
    far_server::{Sent, Server},
    support::{default_with, name},
};

/// The broker of one node.
#[derive(Debug, Default)]
pub(crate) struct FarBroker {
    pub(crate) server: Arc<Server>,
    pub(crate) backfill_limits: BackfillLimits,
    deliveries: OnceLock<Deliveries>,
    node: Mutex<Node>,
    /// The number of pending answers.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Node {
    /// The number of sent events that have arrived, for each channel that is listened to.
    arrived: HashMap<Channel, usize>,
    lags: bool,
    opens_late: bool,
    answers: Answers,
    asked: usize,
    closed: bool,
    wakers: Vec<Waker>,
}

/// How a backfill is answered.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Answers {
    #[default]
    AtOnce,
    Late,
    Fails,
    /// With events that were read before, too.
    FromTheStart,
}

/// Creates a hub whose logs keep so many events, and its broker.
pub(crate) fn far_hub(log_events_max: usize) -> (Hub, Arc<FarBroker>) {
    far_hub_on(Arc::default(), default_with!(Limits { log_events_max }))
}

/// Creates a hub and its broker on a server that others may share.
pub(crate) fn far_hub_on(server: Arc<Server>, limits: Limits) -> (Hub, Arc<FarBroker>) {
    let broker = Arc::new(FarBroker::on(server));
    let clock = Arc::new(ManualClock::default());
    (Hub::builder().limits(limits).clock(clock).broker(broker.clone()).build(), broker)
}

impl FarBroker {
    pub(crate) fn on(server: Arc<Server>) -> Self {
        Self { server, ..Self::default() }
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        self.deliveries.get().expect("the hub has started it")
    }

    /// Holds back events that are sent from now on, until the test [delivers](Self::deliver) them.
    pub(crate) fn lag(&self) {
        self.node.lock().lags = true;
    }

    /// Leaves channels closed until the test [opens](Self::open) them.
    pub(crate) fn open_late(&self) {
        self.node.lock().opens_late = true;
    }

    /// Starts to listen: the channel stands where the server says, and no later event is missed.
    pub(crate) fn open(&self, channel: &str) {
        self.miss_all(channel);
        self.deliveries().go_live(&name(channel));
    }

    /// Delivers the next `count` events.
    pub(crate) fn deliver(&self, channel: &str, count: usize) {
        self.arrive(&name(channel), count);
    }

    /// Delivers all events.
    pub(crate) fn deliver_all(&self, channel: &str) {
        self.arrive(&name(channel), usize::MAX);
    }

    /// Returns the next event to arrive.
    pub(crate) fn arrives_next(&self, channel: &str) -> Option<Sent> {
        let at = self.node.lock().arrived.get(&name(channel)).copied()?;
        self.server.sent(&name(channel), at)
    }

    /// Skips the next `count` events. The event after them shows that they are missing.
    pub(crate) fn miss(&self, channel: &str, count: usize) {
        if let Some(arrived) = self.node.lock().arrived.get_mut(&name(channel)) {
            *arrived = (*arrived + count).min(self.server.sent_len(&name(channel)));
        }
    }

    /// Skips all events so far, and tells the node where the channel stands.
    pub(crate) fn miss_all(&self, channel: &str) {
        let channel = name(channel);
        self.node.lock().arrived.insert(channel.clone(), self.server.sent_len(&channel));
        self.deliveries().open_at(&channel, &self.server.head(&channel));
    }

    /// Publishes an event without a position, as an old program does.
    pub(crate) fn send_foreign(&self, channel: &str, data: &str) {
        self.server.send_foreign(&name(channel), Event::text(data));
        self.arrive_unless_lagging(&name(channel));
    }

    /// Lets another server take over, without the newest `lost` events. The node hears of it at the next event.
    pub(crate) fn restart(&self, channel: &str, lost: u64) -> Position {
        self.server.restart(&name(channel), lost)
    }

    /// Changes how backfills are answered, and answers those that wait.
    pub(crate) fn answer(&self, answers: Answers) {
        self.node.lock().answers = answers;
        self.wake();
    }

    /// Returns how often a backfill was requested.
    pub(crate) fn asked(&self) -> usize {
        self.node.lock().asked
    }

    /// Returns how many backfills wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Returns whether the broker listens to a channel.
    pub(crate) fn listens(&self, channel: &str) -> bool {
        self.node.lock().arrived.contains_key(&name(channel))
    }

    fn arrive_unless_lagging(&self, channel: &Channel) {
        if !self.node.lock().lags {
            self.arrive(channel, usize::MAX);
        }
    }

    fn arrive(&self, channel: &Channel, count: usize) {
        for _ in 0..count {
            let Some(sent) = self.arrives_next(channel.as_str()) else { return };
            self.put(channel, &sent);
            *self.node.lock().arrived.entry(channel.clone()).or_default() += 1;
        }
    }

    fn put(&self, channel: &Channel, sent: &Sent) {
        let deliveries = self.deliveries();
        match sent {
            Sent::Own(position, event) => {
                if matches!(deliveries.append_at(channel, *position, &EncodedEvent::new(event)), AppendOutcome::Gap) {
                    let before = Position { offset: position.offset - 1, ..*position };
                    let lineage = self.server.head(channel).lineage;
                    deliveries.open_at(channel, &Head::new(before).with_lineage(lineage));
                    let placed = deliveries.append_at(channel, *position, &EncodedEvent::new(event));
                    assert!(matches!(placed, AppendOutcome::Appended(_) | AppendOutcome::Closed), "{placed:?}");
                }
            }
            Sent::Foreign(event) => drop(deliveries.append_foreign(channel, &EncodedEvent::new(event))),
            Sent::Forgotten(position) => deliveries.open_at(channel, &Head::new(*position)),
        }
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut self.node.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Broker for FarBroker {
    fn start(&self, deliveries: Deliveries) {
        self.deliveries.set(deliveries).expect("it is called once");
    }

    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
        let published = self.publish_now(&publication).expect("it never waits");
        Box::pin(std::future::ready(published))
    }

    fn publish_now(&self, publication: &Publication) -> Option<Result<Published>> {
        let published = self.server.publish(publication, self.deliveries().readers(&publication.channel));
        self.arrive_unless_lagging(&publication.channel);
        Some(Ok(published))
    }

    fn subscribe(&self, channel: &Channel) {
        let node = self.node.lock();
        let waits = node.opens_late || node.arrived.contains_key(channel);
        drop(node);
        if !waits {
            self.open(channel.as_str());
        }
    }

    fn release(&self, channel: &Channel) {
        if self.deliveries().suspend_if_unread(channel) {
            self.node.lock().arrived.remove(channel);
        }
    }

    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        Box::pin(std::future::ready(Ok(self.server.history(channel, since, limit))))
    }

    fn backfill_limits(&self) -> Option<BackfillLimits> {
        Some(self.backfill_limits)
    }

    fn backfill<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.node.lock().asked += 1;
        let waits = Waits::new(&self.waiting);
        Box::pin(poll_fn(move |context| {
            let _ = &waits;
            let mut node = self.node.lock();
            match node.answers {
                _ if node.closed => Poll::Ready(Err(Error::closed())),
                Answers::AtOnce => Poll::Ready(Ok(self.server.history(channel, since, limit))),
                Answers::FromTheStart => {
                    let mut history = self.server.history(channel, Since::After(Position::START), limit);
                    history.complete = true;
                    Poll::Ready(Ok(history))
                }
                Answers::Fails => Poll::Ready(Err(Error::unavailable("as the test says"))),
                Answers::Late => {
                    node.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }

    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool> {
        let known = self.server.forget(channel);
        self.arrive_unless_lagging(channel);
        Box::pin(std::future::ready(Ok(known)))
    }

    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()> {
        self.deliveries().control(message);
        Box::pin(std::future::ready(Ok(())))
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(&self) {
        self.node.lock().closed = true;
        self.wake();
    }
}

/// Counts itself while it lives.
struct Waits(Arc<AtomicUsize>);

impl Waits {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
