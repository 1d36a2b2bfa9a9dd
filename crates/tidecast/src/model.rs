//! Models of where threads meet: append against a reader that goes to wait, a pass of ringing against a reader that
//! leaves, and the end of the hub against both.
//!
//! loom runs each with every order in which the threads can take their steps (up to so many switches against a
//! thread's will). A wake-up that is lost shows as a model in which nobody goes on. Run them by
//! `RUSTFLAGS="--cfg tidecast_loom" cargo test -p tidecast --release --lib model`.
//!
//! What is not loom's stands outside the models: a channel is there before the threads are, as a real lock must not be
//! waited for by one thread of a model while another that holds it is not let on. And no thread rings one bell twice in a
//! row without waking by it: loom 0.7 gives both rings the same place in the order of changes, and stops.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use loom::{future::block_on, model::Builder, thread};

use crate::{
    Channel, Delivery, Epoch, Event, Hub, Limits, Position, Start, Subscription,
    channel_log::ChannelLog,
    internals::{GroupRead, GroupWaker, ReaderGroups},
    log::InitialPosition,
    notify::{Notify, ReadySet},
    sync::{AtomicBool, Ordering},
    wire::{FirstBlock, frame::EncodedEvent},
};

/// Tries every order with at most so many switches away from a thread that could go on.
pub(crate) fn model(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(check);
}

fn subscribe(hub: &Hub, channels: &[&str]) -> Subscription {
    hub.subscribe(channels.iter().copied(), Start::Live).expect("the hub is open")
}

fn publish(hub: &Hub, channel: &str) {
    hub.publish_now(channel, Event::text("x")).expect("the hub is open");
}

/// Waits for the next event, and answers with its offset.
fn next_offset(subscription: &mut Subscription) -> Option<u64> {
    match block_on(subscription.next())? {
        Delivery::Event(delivered) => delivered.cursor.positions().iter().map(|position| position.offset).max(),
        Delivery::Reset(reset) => panic!("nothing is lost, but {reset:?}"),
    }
}

/// Without a log and its lock, which would order the two anyway: what is done before ringing is seen by who hears it, also
/// where the bell had rung already and was not yet heard.
#[test]
fn a_bell_by_itself_is_heard_with_what_came_before_it() {
    model(4, || {
        let (bell, news) = (Arc::new(ReadySet::default()), Arc::new(AtomicBool::new(false)));
        bell.notify(0);
        let ringer = {
            let (bell, news) = (bell.clone(), news.clone());
            thread::spawn(move || {
                news.store(true, Ordering::Relaxed);
                bell.notify(0);
            })
        };
        block_on(poll_fn(|context| {
            loop {
                let rung = bell.register_and_take(context.waker());
                if news.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                if rung == 0 {
                    return Poll::Pending;
                }
            }
        }));
        ringer.join().expect("it ends well");
    });
}

#[test]
fn an_event_that_is_published_while_the_reader_goes_to_wait_wakes_it() {
    model(4, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || {
                publish(&hub, "sse");
                publish(&hub, "sse");
            })
        };
        assert_eq!(next_offset(&mut subscription), Some(1));
        assert_eq!(next_offset(&mut subscription), Some(2));
        publisher.join().expect("it ends well");
    });
}

#[test]
fn two_channels_that_ring_at_once_are_both_heard() {
    model(3, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["a", "b"]);
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "a"))
        };
        let other = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "b"))
        };
        let mut offsets = 0;
        for _ in 0..2 {
            offsets += next_offset(&mut subscription).expect("the hub is open");
        }
        assert_eq!(offsets, 2);
        publisher.join().expect("it ends well");
        other.join().expect("it ends well");
    });
}

#[test]
fn the_end_of_the_hub_comes_after_what_was_published_before_it() {
    model(4, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || {
                publish(&hub, "sse");
                hub.close();
            })
        };
        assert_eq!(next_offset(&mut subscription), Some(1));
        assert_eq!(next_offset(&mut subscription), None);
        publisher.join().expect("it ends well");
    });
}

/// A publish that meets the closing is refused, or its event is read before the end.
#[test]
fn what_is_accepted_while_the_hub_closes_is_still_read() {
    model(2, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || hub.publish_now("sse", Event::text("x")).is_ok())
        };
        let closer = {
            let hub = hub.clone();
            thread::spawn(move || hub.close())
        };
        let mut read = 0;
        while next_offset(&mut subscription).is_some() {
            read += 1;
        }
        let accepted = publisher.join().expect("it ends well");
        assert_eq!(read, u64::from(accepted));
        closer.join().expect("it ends well");
    });
}

#[test]
fn a_reader_that_waits_hears_of_the_end() {
    model(4, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        let closer = {
            let hub = hub.clone();
            thread::spawn(move || hub.close())
        };
        assert_eq!(next_offset(&mut subscription), None);
        closer.join().expect("it ends well");
    });
}

#[test]
fn a_channel_that_is_forgotten_wakes_its_reader() {
    model(3, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        let forgetter = thread::spawn(move || {
            assert!(block_on(hub.forget(&Channel::default())).expect("memory is always there"));
        });
        assert!(matches!(block_on(subscription.next()), Some(Delivery::Reset(_))));
        forgetter.join().expect("it ends well");
    });
}

/// A pass that rings one reader at a time takes the lock anew for each; a reader that leaves meanwhile has another moved
/// to its place.
#[test]
fn a_pass_of_ringing_misses_nobody_while_a_reader_leaves() {
    for leaving in 0..3 {
        model(3, move || {
            let position = Position { epoch: Epoch::random(), offset: 0 };
            let beginning = InitialPosition { position, is_first: true, is_kept: false };
            let log = Arc::new(ChannelLog::new(Channel::default(), Duration::ZERO, beginning, Arc::default()));
            let bells: Vec<_> = (0..3).map(|_| Arc::new(ReadySet::default())).collect();
            for bell in &bells {
                assert!(log.join(bell, 0).is_ok());
            }
            let leaver = {
                let (log, bell) = (log.clone(), bells[leaving].clone());
                thread::spawn(move || log.leave(&bell, 0, Duration::ZERO))
            };
            let event = Event::text("x");
            let appended = log.append(Duration::ZERO, &EncodedEvent::new(&event), &Limits::default());
            assert!(appended.is_ok());
            log.notify();
            for (reader, bell) in bells.iter().enumerate() {
                let rung = bell.register_and_take(std::task::Waker::noop());
                assert!(reader == leaving || rung == 1, "reader {reader} was missed while {leaving} left");
            }
            leaver.join().expect("it ends well");
        });
    }
}

#[test]
fn a_reader_that_joins_while_an_event_is_appended_has_it_ahead_or_hears_of_it() {
    model(3, || {
        let hub = Hub::new();
        let _first = subscribe(&hub, &["sse"]);
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "sse"))
        };
        let mut joined = subscribe(&hub, &["sse"]);
        let began_at = joined.cursor().positions()[0].offset;
        if began_at == 0 {
            assert_eq!(next_offset(&mut joined), Some(1));
        } else {
            assert_eq!(began_at, 1);
        }
        publisher.join().expect("it ends well");
    });
}

/// A mailbox that remembers being told.
struct Told(loom::sync::Notify);

impl GroupWaker for Told {
    fn wake(&self, _key: u32) {
        self.0.notify();
    }
}

/// Who comes to a tap while an event is appended reads it there, or is told of it: nobody waits for ever.
#[test]
fn a_reader_that_comes_to_a_tap_while_an_event_is_appended_reads_it_or_is_told() {
    model(3, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        subscription.first_block(FirstBlock::default());
        let told = Arc::new(Told(loom::sync::Notify::new()));
        let mut taps = ReaderGroups::new(told.clone());
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "sse"))
        };
        let (key, spot) = taps.attach(subscription).expect("it has nothing else to tell");
        let mut read = taps.read(key, spot, 1000);
        // A notice may come without a reason, also from loom.
        while matches!(read, GroupRead::CaughtUp) {
            told.0.wait();
            read = taps.read(key, spot, 1000);
        }
        assert!(matches!(read, GroupRead::Frames { count: 1, .. }), "{read:?}");
        publisher.join().expect("it ends well");
    });
}

/// Who is lifted from a tap while an event is appended has it ahead, and what comes later rings its bell.
#[test]
fn a_reader_that_is_lifted_while_an_event_is_appended_hears_of_it() {
    model(3, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        subscription.first_block(FirstBlock::default());
        let mut taps = ReaderGroups::new(Arc::new(Told(loom::sync::Notify::new())));
        let (key, spot) = taps.attach(subscription).expect("it has nothing else to tell");
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "sse"))
        };
        let mut lifted = taps.into_subscription(key, spot).expect("it stands there");
        assert_eq!(next_offset(&mut lifted), Some(1));
        publisher.join().expect("it ends well");
    });
}
