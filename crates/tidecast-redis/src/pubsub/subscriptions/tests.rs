//! Channels between two phases, in every order that tasks can bring about. No Redis is started: the tests give the replies.

use std::sync::Arc;

use parking_lot::Mutex;
use tidecast::{
    Channel, Epoch, Error, Hub, Position, Publication, Published, Start, Subscription,
    broker::{Broker, BrokerFuture, Deliveries, Head, History, Since},
    wire::FirstBlock,
};

use super::{channel::BUFFERED_BYTES_TOTAL_MAX, *};
use crate::codec::written_trailer;

/// A broker that only hands out its deliveries.
#[derive(Debug, Default)]
struct TestBroker(Mutex<Option<Deliveries>>);

impl Broker for TestBroker {
    fn start(&self, deliveries: Deliveries) {
        *self.0.lock() = Some(deliveries);
    }

    fn publish(&self, _: Publication) -> BrokerFuture<'_, Published> {
        Box::pin(async { Err(Error::closed()) })
    }

    fn subscribe(&self, _: &Channel) {}

    fn release(&self, _: &Channel) {}

    fn history<'a>(&'a self, _: &'a Channel, _: Since, _: usize) -> BrokerFuture<'a, History> {
        Box::pin(async { Err(Error::closed()) })
    }

    fn forget<'a>(&'a self, _: &'a Channel) -> BrokerFuture<'a, bool> {
        Box::pin(async { Err(Error::closed()) })
    }

    fn send_control<'a>(&'a self, _: &'a [u8]) -> BrokerFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn ready(&self) -> BrokerFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self) {}
}

struct TableRig {
    hub: Hub,
    subscriptions: Subscriptions,
    name: PubSubName,
    channel: Channel,
    epoch: Epoch,
}

impl TableRig {
    fn new() -> Self {
        let broker = Arc::new(TestBroker::default());
        let hub = Hub::builder().broker(broker.clone()).build();
        let subscriptions = Subscriptions::new();
        subscriptions.start(broker.0.lock().take().unwrap());
        let channel = Channel::default();
        Self { hub, subscriptions, name: name(&channel), channel, epoch: Epoch::random() }
    }

    /// Creates a rig whose channel is subscribed to by worker 0 and is being backfilled.
    fn backfilling() -> (Self, BackfillTask) {
        let rig = Self::new();
        assert!(rig.subscriptions.add(&rig.name, &rig.channel, Some(0)));
        let task = rig.confirmed();
        (rig, task)
    }

    fn confirmed(&self) -> BackfillTask {
        self.subscriptions.confirmed(&self.name, 0).expect("a backfill begins")
    }

    fn at(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    /// Delivers an event with a position.
    fn arrive(&self, position: Position) -> Option<BackfillTask> {
        let payload = [br#"{"data":"x"}"#.as_slice(), &written_trailer(position, false)].concat();
        self.subscriptions.on_message(&self.name, &payload)
    }

    /// Begins a round whose reply has the head at an offset, and applies it.
    fn round(&self, task: &mut BackfillTask, offset: u64) -> GoLive {
        assert!(self.subscriptions.begin_round(task));
        self.apply(task, offset)
    }

    fn apply(&self, task: &BackfillTask, offset: u64) -> GoLive {
        let head = Head::new(self.at(offset));
        self.deliveries().open_at(&self.channel, &head);
        self.subscriptions.go_live(task, &head)
    }

    fn deliveries(&self) -> &Deliveries {
        self.subscriptions.deliveries().unwrap()
    }

    fn subscribe(&self) -> Subscription {
        self.hub.subscribe([self.channel.clone()], Start::Live).unwrap()
    }

    /// Returns whether a new reader begins at once.
    fn is_live(&self) -> bool {
        let first = self.subscribe().first_block(FirstBlock::default());
        first.windows(4).any(|line| line == b"\nid:")
    }
}

fn name(channel: &Channel) -> PubSubName {
    channel.as_str().as_bytes().into()
}

/// Generations once began again with each subscription of a channel. A late backfill for readers that had left made the
/// channel live for new ones before it was subscribed to again: events published in between came late, and foreign ones
/// never.
#[test]
fn a_stale_backfill_makes_no_channel_live() {
    let (rig, mut late) = TableRig::backfilling();
    assert!(rig.subscriptions.begin_round(&mut late));
    assert_eq!(rig.subscriptions.remove(&rig.name, &rig.channel), Some(0));
    assert!(rig.subscriptions.add(&rig.name, &rig.channel, Some(0)));
    assert_eq!(rig.apply(&late, 3), GoLive::Done);
    assert!(!rig.is_live());
    let mut task = rig.confirmed();
    assert_eq!(rig.round(&mut task, 4), GoLive::Done);
    assert!(rig.is_live());
}

/// A slot that moves gives its channels to another worker. The first one's confirmation was taken for the other's.
#[test]
fn only_the_assigned_worker_confirms() {
    let rig = TableRig::new();
    rig.subscriptions.add(&rig.name, &rig.channel, Some(0));
    rig.subscriptions.assign(&rig.name, Some(1));
    assert!(rig.subscriptions.confirmed(&rig.name, 0).is_none());
    assert!(rig.subscriptions.confirmed(&rig.name, 1).is_some());
}

#[test]
fn a_lost_connection_has_new_readers_wait() {
    let (rig, mut task) = TableRig::backfilling();
    assert_eq!(rig.round(&mut task, 0), GoLive::Done);
    let _stays = rig.subscribe();
    assert!(rig.is_live());
    assert_eq!(rig.subscriptions.disconnected(0).len(), 1);
    assert!(!rig.is_live());
    // An earlier backfill cannot undo that.
    assert_eq!(rig.subscriptions.go_live(&task, &Head::new(rig.at(0))), GoLive::Done);
    assert!(!rig.is_live());
}

/// After a failover to a replica that was behind, right after an event had arrived that did not follow the log, Redis
/// replied again and again that there is no such event, and the channel never went live.
#[test]
fn an_event_that_redis_has_lost_is_not_waited_for() {
    let (rig, mut task) = TableRig::backfilling();
    rig.arrive(rig.at(25));
    // An event that arrives after the request is another matter: the reply could not have it.
    assert!(rig.subscriptions.begin_round(&mut task));
    rig.arrive(rig.at(26));
    assert_eq!(rig.apply(&task, 20), GoLive::Retry);
    assert_eq!(rig.round(&mut task, 20), GoLive::Done);
    assert!(rig.arrive(rig.at(21)).is_none(), "the log continues there");
}

/// A hub on another database that published on the same name without a pause kept a channel from going live: each of its
/// events that came during a round caused another round.
#[test]
fn events_of_another_database_do_not_keep_a_channel_from_going_live() {
    let (rig, mut task) = TableRig::backfilling();
    let epoch = Epoch::random();
    let foreign = |offset| rig.arrive(Position { epoch, offset });
    foreign(7);
    assert!(rig.subscriptions.begin_round(&mut task));
    foreign(8);
    assert_eq!(rig.apply(&task, 3), GoLive::Done);
    assert!(foreign(9).is_none());
    assert_eq!(rig.subscriptions.counters.stats(true, 1).elsewhere, 3);
}

/// After a failover one connection may be at the new primary and the other still at the old one, which knows nothing of
/// the new epoch. Its events were taken for another database's as long as the connection lasted, and no lag check looked
/// at the channel, because something arrived on it all the time.
#[test]
fn a_foreign_epoch_is_looked_up_again() {
    let (rig, mut task) = TableRig::backfilling();
    let next = Position { epoch: Epoch::random(), offset: 21 };
    rig.arrive(next);
    assert_eq!(rig.round(&mut task, 20), GoLive::Done);
    assert!(rig.subscriptions.take_idle(0).is_empty(), "it has just gone live");
    assert!(rig.arrive(Position { offset: 22, ..next }).is_none());
    assert_eq!(rig.subscriptions.take_idle(0).len(), 1, "its lag is checked");
    rig.subscriptions.clear_foreign_epochs(0);
    assert!(rig.arrive(Position { offset: 23, ..next }).is_some());
}

/// The event of a live channel whose log is empty. The log itself accepts any epoch's first event, also another database's
/// and, right after this node deleted the channel, that of the deleted epoch.
#[test]
fn an_empty_log_takes_no_event_of_another_epoch() {
    let (rig, mut task) = TableRig::backfilling();
    assert_eq!(rig.round(&mut task, 0), GoLive::Done);
    let foreign = Position { epoch: Epoch::random(), offset: 1 };
    let mut task = rig.arrive(foreign).expect("redis is asked");
    assert_eq!(rig.round(&mut task, 0), GoLive::Done);
    assert_eq!(rig.deliveries().position(&rig.channel), Some(rig.at(0)));

    let start = Position { epoch: Epoch::random(), offset: 0 };
    rig.subscriptions.expect_epoch(&rig.name, start.epoch);
    rig.deliveries().open_at(&rig.channel, &Head::new(start));
    assert!(rig.arrive(Position { offset: 1, ..start }).is_none());
    assert_eq!(rig.deliveries().position(&rig.channel), Some(Position { offset: 1, ..start }));
    assert!(rig.arrive(rig.at(1)).is_some());
}

/// An event of an epoch that Redis no longer had was taken for one of another database, and readers were not told.
#[test]
fn an_epoch_that_came_and_went_is_told_once() {
    let begins = || Position { epoch: Epoch::random(), offset: 1 };
    let next = || Head::new(begins());
    let here = Position { offset: 3, ..begins() };
    let ended = next();
    let with_lineage = next().with_lineage(vec![(ended.position.epoch, 1)]);
    let empty = Head::new(Position { offset: 0, ..begins() });
    for (case, here, arrival, head, lost) in [
        ("in between", here, begins(), next(), true),
        ("in between, now empty", here, begins(), empty.clone(), true),
        ("empty as before, of another database", empty.position, begins(), empty.clone(), false),
        ("the log's own", Position { offset: 0, ..here }, Position { offset: 1, ..here }, next(), true),
        ("goes on counting", here, Position { offset: 4, ..begins() }, next(), true),
        ("of another database", here, Position { offset: 7, ..begins() }, next(), false),
        ("of another database, while this one goes on", here, begins(), Head::new(here), false),
        ("of the head", here, ended.position, ended.clone(), false),
        ("before the head", here, ended.position, with_lineage, false),
    ] {
        let (rig, mut task) = TableRig::backfilling();
        rig.arrive(arrival);
        assert!(!rig.subscriptions.has_lost(&task, here, &head), "redis was asked before it came: {case}");
        assert!(rig.subscriptions.begin_round(&mut task));
        assert_eq!(rig.subscriptions.has_lost(&task, here, &head), lost && here.epoch != head.position.epoch, "{case}");
        let has_lost = |rig: &TableRig| rig.subscriptions.table.lock().channels[&rig.name].has_lost;
        assert_eq!(has_lost(&rig), lost, "{case}");
        rig.subscriptions.loss_reported(&task);
        rig.subscriptions.has_lost(&task, here, &head);
        assert!(!has_lost(&rig), "once: {case}");
    }
}

/// Redis had lost the last event of an epoch, and the log was in the next one before the event arrived.
#[test]
fn a_lost_event_of_the_epoch_that_was_left_is_told() {
    for (offset, lost) in [(3, false), (4, true)] {
        let (rig, mut task) = TableRig::backfilling();
        let left = Position { epoch: Epoch::random(), offset: 3 };
        rig.subscriptions.epoch_left(&task, left);
        rig.arrive(Position { offset, ..left });
        assert!(rig.subscriptions.begin_round(&mut task));
        assert_eq!(rig.subscriptions.has_lost(&task, rig.at(0), &Head::new(rig.at(5))), lost, "{offset}");
    }
}

/// Another node deleted the channel during a backfill, after Redis had replied. The request for another round was
/// forgotten, and the readers were told with the next event only.
#[test]
fn a_channel_deleted_during_its_backfill_is_read_again() {
    let (rig, mut task) = TableRig::backfilling();
    assert!(rig.subscriptions.begin_round(&mut task));
    assert!(rig.subscriptions.request_backfill(&rig.name).is_none(), "one is under way");
    assert_eq!(rig.apply(&task, 3), GoLive::Retry);
    assert_eq!(rig.round(&mut task, 3), GoLive::Done);
    assert!(rig.subscriptions.request_backfill(&rig.name).is_some());
}

/// An array has no room for an id, so such an event is read from the history. If they came faster than they could be
/// read, new readers waited for a pause.
#[test]
fn a_busy_channel_is_live_after_a_round() {
    let (rig, mut task) = TableRig::backfilling();
    let mut reader = rig.subscribe();
    assert!(rig.subscriptions.begin_round(&mut task));
    rig.arrive(rig.at(9));
    assert_eq!(rig.apply(&task, 3), GoLive::Retry);
    assert!(reader.first_block(FirstBlock::default()).ends_with(format!("id: {}\n\n", rig.at(3)).as_bytes()));
}

/// A log without a reader may be dropped during a backfill. The channel was then live with a log that was not open, and
/// its next reader waited for ever.
#[test]
fn a_log_dropped_during_its_backfill_is_opened_again() {
    let (rig, mut task) = TableRig::backfilling();
    assert!(rig.subscriptions.begin_round(&mut task));
    // The log is not open.
    assert_eq!(rig.subscriptions.go_live(&task, &Head::new(rig.at(3))), GoLive::Retry);
    assert_eq!(rig.round(&mut task, 3), GoLive::Done);
    assert!(rig.is_live());
}

/// An event that came before the channel was subscribed to again is buffered; the next one came while the connection was
/// down. The log must reach the head, not only the buffered event.
#[test]
fn buffered_events_may_end_before_the_head() {
    let (rig, mut task) = TableRig::backfilling();
    rig.arrive(rig.at(5));
    assert!(rig.subscriptions.begin_round(&mut task));
    assert_eq!(rig.subscriptions.first_buffered(&task), Some(rig.at(5)));
    rig.deliveries().open_at(&rig.channel, &Head::new(rig.at(4)));
    assert_eq!(rig.subscriptions.go_live(&task, &Head::new(rig.at(6))), GoLive::Retry);
    assert_eq!(rig.deliveries().position(&rig.channel), Some(rig.at(5)));
    assert_eq!(rig.round(&mut task, 6), GoLive::Done);
}

/// Each channel had a bound, and all together had none: 10,000 channels backfilled at once could buffer 40 GB.
#[test]
fn buffered_bytes_are_bounded_for_all_channels_together() {
    let rig = TableRig::new();
    let data = "x".repeat(1024 * 1024);
    let payload = format!(r#"{{"data":"{data}"}}"#);
    let channels: Vec<_> = (0..100).map(|number| Channel::new(&format!("channel {number}")).unwrap()).collect();
    for channel in &channels {
        rig.subscriptions.add(&name(channel), channel, Some(0));
        rig.subscriptions.on_message(&name(channel), payload.as_bytes());
    }
    let buffered = BUFFERED_BYTES_TOTAL_MAX / data.len();
    let buffered_bytes = || rig.subscriptions.table.lock().buffered_bytes;
    assert_eq!(buffered_bytes(), BUFFERED_BYTES_TOTAL_MAX);
    assert_eq!(rig.subscriptions.counters.stats(true, 0).overflowed, (channels.len() - buffered) as u64);
    // A channel that goes live or is removed makes room.
    let mut task = rig.subscriptions.confirmed(&name(&channels[0]), 0).unwrap();
    assert!(rig.subscriptions.begin_round(&mut task));
    rig.deliveries().open_at(&channels[0], &Head::new(rig.at(1)));
    assert_eq!(rig.subscriptions.go_live(&task, &Head::new(rig.at(1))), GoLive::Done);
    assert_eq!(buffered_bytes(), BUFFERED_BYTES_TOTAL_MAX - data.len());
    for channel in &channels {
        rig.subscriptions.remove(&name(channel), channel);
    }
    assert_eq!(buffered_bytes(), 0);
}
