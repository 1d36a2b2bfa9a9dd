//! Channels between two phases, in every order that tasks can bring about, without a Redis: what it would have answered
//! is said here.

use std::sync::Arc;

use parking_lot::Mutex;
use tidecast::{
    Channel, Epoch, Error, Hub, Position, Publication, Published, Start, Subscription,
    broker::{Broker, BrokerFuture, Deliveries, Head, History, Since},
    wire::FirstBlock,
};

use super::{channel::BUFFERED_BYTES_TOTAL_MAX, *};
use crate::codec::written_trailer;

/// A broker that only hands out what it was given.
#[derive(Debug, Default)]
struct Nowhere(Mutex<Option<Deliveries>>);

impl Broker for Nowhere {
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

struct Rig {
    hub: Hub,
    subscriptions: Subscriptions,
    name: Name,
    channel: Channel,
    epoch: Epoch,
}

impl Rig {
    fn new() -> Self {
        let broker = Arc::new(Nowhere::default());
        let hub = Hub::builder().broker(broker.clone()).build();
        let subscriptions = Subscriptions::new();
        assert!(subscriptions.start(broker.0.lock().take().unwrap()));
        let channel = Channel::default();
        Self { hub, subscriptions, name: name(&channel), channel, epoch: Epoch::random() }
    }

    /// With a channel that is listened to at ear 0 and being filled.
    fn filling() -> (Self, BackfillTask) {
        let rig = Self::new();
        assert!(rig.subscriptions.add(&rig.name, &rig.channel, Some(0)));
        let fill = rig.confirmed();
        (rig, fill)
    }

    fn confirmed(&self) -> BackfillTask {
        self.subscriptions.confirmed(&self.name, 0).expect("it is to be filled")
    }

    fn at(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    /// What comes of an event of ours, of this epoch or another.
    fn arrive(&self, position: Position) -> Call {
        self.subscriptions
            .arrive(&self.name, &[br#"{"data":"x"}"#.as_slice(), &written_trailer(position, false)].concat())
    }

    /// Redis is asked, says this, and the log is brought there.
    fn answer(&self, fill: &mut BackfillTask, offset: u64) -> GoLive {
        assert!(self.subscriptions.begin_round(fill));
        self.put(fill, offset)
    }

    fn put(&self, fill: &BackfillTask, offset: u64) -> GoLive {
        let head = Head::new(self.at(offset));
        self.subscriptions.deliveries().unwrap().open_at(&self.channel, &head);
        self.subscriptions.go_live(fill, &head)
    }

    fn subscribe(&self) -> Subscription {
        self.hub.subscribe([self.channel.clone()], Start::Live).unwrap()
    }

    /// Whether who comes now begins at once.
    fn is_live(&self) -> bool {
        let first = self.subscribe().first_block(FirstBlock::default());
        first.windows(4).any(|line| line == b"\nid:")
    }
}

fn name(channel: &Channel) -> Name {
    channel.as_str().as_bytes().into()
}

/// The numbers of turns once began anew with each life of a channel. Who had it filled for readers that had left, and
/// whom Redis answered late, made it live for those who came then, before it was subscribed to again: what was published
/// in between came late, by the next event or the next comparison, and what was foreign never.
#[test]
fn a_fill_for_who_has_left_makes_nothing_live() {
    let (rig, mut late) = Rig::filling();
    assert!(rig.subscriptions.begin_round(&mut late));
    assert_eq!(rig.subscriptions.remove(&rig.name, &rig.channel), Some(0));
    assert!(rig.subscriptions.add(&rig.name, &rig.channel, Some(0)));
    assert_eq!(rig.put(&late, 3), GoLive::Done);
    assert!(!rig.is_live());
    let mut fill = rig.confirmed();
    assert_eq!(rig.answer(&mut fill, 4), GoLive::Done);
    assert!(rig.is_live());
}

/// A slot that moves gives its channels to another ear. What the ear before had under way was once taken for the other's.
#[test]
fn only_the_ear_that_listens_confirms() {
    let rig = Rig::new();
    rig.subscriptions.add(&rig.name, &rig.channel, Some(0));
    rig.subscriptions.assign(&rig.name, Some(1));
    assert!(rig.subscriptions.confirmed(&rig.name, 0).is_none());
    assert!(rig.subscriptions.confirmed(&rig.name, 1).is_some());
}

#[test]
fn a_channel_that_is_cut_off_has_who_comes_wait() {
    let (rig, mut fill) = Rig::filling();
    assert_eq!(rig.answer(&mut fill, 0), GoLive::Done);
    let _stays = rig.subscribe();
    assert!(rig.is_live());
    assert_eq!(rig.subscriptions.disconnected(0).len(), 1);
    assert!(!rig.is_live());
    // And who filled it before can't undo that.
    assert_eq!(rig.subscriptions.go_live(&fill, &Head::new(rig.at(0))), GoLive::Done);
    assert!(!rig.is_live());
}

/// A failover to a replica that was behind, right after an event had arrived that did not follow the log: Redis said,
/// again and again and as fast as it was asked, that there is no such event, and the channel was never live again.
#[test]
fn what_redis_has_lost_is_not_waited_for() {
    let (rig, mut fill) = Rig::filling();
    rig.arrive(rig.at(25));
    // One after the question is another matter: the answer could not have it.
    assert!(rig.subscriptions.begin_round(&mut fill));
    rig.arrive(rig.at(26));
    assert_eq!(rig.put(&fill, 20), GoLive::Retry);
    assert_eq!(rig.answer(&mut fill, 20), GoLive::Done);
    assert!(matches!(rig.arrive(rig.at(21)), Call::Nothing), "it goes on from there");
}

/// A hub on another database that publishes on the same name without a pause once kept a channel from going live: each
/// of its events that came while one was looked up was looked up in its turn.
#[test]
fn who_publishes_elsewhere_does_not_keep_a_channel_from_going_live() {
    let (rig, mut fill) = Rig::filling();
    let elsewhere = Epoch::random();
    let stranger = |offset| rig.arrive(Position { epoch: elsewhere, offset });
    stranger(7);
    assert!(rig.subscriptions.begin_round(&mut fill));
    stranger(8);
    assert_eq!(rig.put(&fill, 3), GoLive::Done);
    assert!(matches!(stranger(9), Call::Nothing));
    assert_eq!(rig.subscriptions.counters.stats(true, 1).elsewhere, 3);
}

/// After a failover one connection may be at the new primary and the other still at the old one, which knows nothing of
/// the new epoch. Its events were once taken to be another database's for as long as the connection stood, and no
/// comparison looked at the channel, as something arrived on it all the time.
#[test]
fn what_was_taken_to_be_from_elsewhere_is_looked_up_again() {
    let (rig, mut fill) = Rig::filling();
    let next = Position { epoch: Epoch::random(), offset: 21 };
    rig.arrive(next);
    assert_eq!(rig.answer(&mut fill, 20), GoLive::Done);
    assert!(rig.subscriptions.idle(0).is_empty(), "it has just gone live");
    assert!(matches!(rig.arrive(Position { offset: 22, ..next }), Call::Nothing));
    assert_eq!(rig.subscriptions.idle(0).len(), 1, "it is compared");
    rig.subscriptions.clear_foreign_epochs(0);
    assert!(matches!(rig.arrive(Position { offset: 23, ..next }), Call::Fill(_)));
}

/// An event of an epoch that Redis no longer had was taken for one of another database, and nobody was told.
#[test]
fn an_epoch_that_came_and_went_is_told_once() {
    let begins = || Position { epoch: Epoch::random(), offset: 1 };
    let next = || Head::new(begins());
    let here = Position { offset: 3, ..begins() };
    let ended = next();
    let with_lineage = next().with_lineage(vec![(ended.position.epoch, 1)]);
    let idle = Head::new(Position { offset: 0, ..begins() });
    for (case, here, arrival, head, lost) in [
        ("in between", here, begins(), next(), true),
        ("in between, now silent", here, begins(), idle.clone(), true),
        ("silent as before", idle.position, begins(), idle.clone(), true),
        ("the log's own", Position { offset: 0, ..here }, Position { offset: 1, ..here }, next(), true),
        ("goes on counting", here, Position { offset: 4, ..begins() }, next(), true),
        ("of another database", here, Position { offset: 7, ..begins() }, next(), false),
        ("of another database, while this one goes on", here, begins(), Head::new(here), false),
        ("of the head", here, ended.position, ended.clone(), false),
        ("before the head", here, ended.position, with_lineage, false),
    ] {
        let (rig, mut fill) = Rig::filling();
        rig.arrive(arrival);
        assert!(!rig.subscriptions.has_lost(&fill, here, &head), "redis was asked before it came: {case}");
        assert!(rig.subscriptions.begin_round(&mut fill));
        assert_eq!(rig.subscriptions.has_lost(&fill, here, &head), lost && here.epoch != head.position.epoch, "{case}");
        let known_lost = |rig: &Rig| rig.subscriptions.state.lock().channels[&rig.name].has_lost;
        assert_eq!(known_lost(&rig), lost, "{case}");
        rig.subscriptions.loss_reported(&fill);
        rig.subscriptions.has_lost(&fill, here, &head);
        assert!(!known_lost(&rig), "once: {case}");
    }
}

/// Redis had lost the last event of an epoch, and the log was in the next one before the event arrived.
#[test]
fn what_followed_in_the_epoch_that_was_left_is_told() {
    for (offset, lost) in [(3, false), (4, true)] {
        let (rig, mut fill) = Rig::filling();
        let left = Position { epoch: Epoch::random(), offset: 3 };
        rig.subscriptions.epoch_left(&fill, left);
        rig.arrive(Position { offset, ..left });
        assert!(rig.subscriptions.begin_round(&mut fill));
        assert_eq!(rig.subscriptions.has_lost(&fill, rig.at(0), &Head::new(rig.at(5))), lost, "{offset}");
    }
}

/// Another node deletes the channel while it is filled here, after Redis has answered: that it has to be asked again was
/// once forgotten, and the readers heard of it with the next event only.
#[test]
fn a_channel_that_is_deleted_while_it_is_filled_is_filled_once_more() {
    let (rig, mut fill) = Rig::filling();
    assert!(rig.subscriptions.begin_round(&mut fill));
    assert!(rig.subscriptions.request_backfill(&rig.name).is_none(), "somebody is at it");
    assert_eq!(rig.put(&fill, 3), GoLive::Retry);
    assert_eq!(rig.answer(&mut fill, 3), GoLive::Done);
    assert!(rig.subscriptions.request_backfill(&rig.name).is_some());
}

/// An array has no room for an id, so such an event is looked up; where they came faster than they could be looked up,
/// who began to read once waited for a pause.
#[test]
fn a_busy_channel_is_live_once_it_is_filled() {
    let (rig, mut fill) = Rig::filling();
    let mut reader = rig.subscribe();
    assert!(rig.subscriptions.begin_round(&mut fill));
    rig.arrive(rig.at(9));
    assert_eq!(rig.put(&fill, 3), GoLive::Retry);
    assert!(reader.first_block(FirstBlock::default()).ends_with(format!("id: {}\n\n", rig.at(3)).as_bytes()));
}

/// A log without a reader may be forgotten while it is filled. The channel was then live with a log that nobody had
/// opened, and who came next waited for ever.
#[test]
fn a_log_that_was_forgotten_meanwhile_is_opened_again() {
    let (rig, mut fill) = Rig::filling();
    assert!(rig.subscriptions.begin_round(&mut fill));
    // Never opened, as the one that was is gone.
    assert_eq!(rig.subscriptions.go_live(&fill, &Head::new(rig.at(3))), GoLive::Retry);
    assert_eq!(rig.answer(&mut fill, 3), GoLive::Done);
    assert!(rig.is_live());
}

/// An event that came before the channel was subscribed to anew is held back; the one after it came while nobody
/// listened. The log must get as far as Redis said, not only as far as what is held back.
#[test]
fn what_is_held_back_need_not_be_all_there_is() {
    let (rig, mut fill) = Rig::filling();
    rig.arrive(rig.at(5));
    assert!(rig.subscriptions.begin_round(&mut fill));
    assert_eq!(rig.subscriptions.first_buffered(&fill), Some(rig.at(5)));
    rig.subscriptions.deliveries().unwrap().open_at(&rig.channel, &Head::new(rig.at(4)));
    assert_eq!(rig.subscriptions.go_live(&fill, &Head::new(rig.at(6))), GoLive::Retry);
    assert_eq!(rig.subscriptions.deliveries().unwrap().position(&rig.channel), Some(rig.at(5)));
    assert_eq!(rig.answer(&mut fill, 6), GoLive::Done);
}

/// There was a bound for each channel, and none for all: 10,000 channels filled at once may hold back 40 GB.
#[test]
fn what_is_held_back_is_bounded_for_all_channels_together() {
    let rig = Rig::new();
    let data = "x".repeat(1024 * 1024);
    let payload = format!(r#"{{"data":"{data}"}}"#);
    let channels: Vec<_> = (0..100).map(|id| Channel::new(&format!("channel {id}")).unwrap()).collect();
    for channel in &channels {
        rig.subscriptions.add(&name(channel), channel, Some(0));
        rig.subscriptions.arrive(&name(channel), payload.as_bytes());
    }
    let buffered = BUFFERED_BYTES_TOTAL_MAX / data.len();
    assert_eq!(rig.subscriptions.state.lock().buffered_bytes, BUFFERED_BYTES_TOTAL_MAX);
    assert_eq!(rig.subscriptions.counters.stats(true, 0).overflowed, (channels.len() - buffered) as u64);
    // What is settled makes room, and so does what is released.
    let mut fill = rig.subscriptions.confirmed(&name(&channels[0]), 0).unwrap();
    assert!(rig.subscriptions.begin_round(&mut fill));
    rig.subscriptions.deliveries().unwrap().open_at(&channels[0], &Head::new(rig.at(1)));
    assert_eq!(rig.subscriptions.go_live(&fill, &Head::new(rig.at(1))), GoLive::Done);
    assert_eq!(rig.subscriptions.state.lock().buffered_bytes, BUFFERED_BYTES_TOTAL_MAX - data.len());
    for channel in &channels {
        rig.subscriptions.remove(&name(channel), channel);
    }
    assert_eq!(rig.subscriptions.state.lock().buffered_bytes, 0);
}
