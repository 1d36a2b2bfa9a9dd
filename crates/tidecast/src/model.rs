//! Models of the places where threads meet: appending and waiting, notifying and leaving, and the closing of a hub.
//!
//! loom runs each with every order in which the threads can take their steps, up to a number of switches away from a thread
//! that could continue. A lost wake-up shows as a model in which no thread can continue. Run them with
//! `RUSTFLAGS="--cfg tidecast_loom" cargo test -p tidecast --release --lib model`.
//!
//! Anything that is not loom's stays outside of the models. A channel exists before the threads do, because a model's thread
//! must not wait for a real lock whose holder can't run. And no thread notifies one ready set twice in a row without waking
//! its reader: loom 0.7 gives both notifications the same place in the order of changes, and stops.

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

/// Tries every order with up to `preemptions` switches away from a thread that could continue.
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

/// Waits for the next event, and returns its offset.
fn next_offset(subscription: &mut Subscription) -> Option<u64> {
    match block_on(subscription.next())? {
        Delivery::Event(delivered) => delivered.cursor.positions().iter().map(|position| position.offset).max(),
        Delivery::Reset(reset) => panic!("no event is lost, but {reset:?}"),
    }
}

/// Without a log and its lock, which would order the two threads anyway: the reader sees everything from before the
/// notification, even if the set was ready already and not taken yet.
#[test]
fn a_reader_sees_everything_from_before_a_notification() {
    model(4, || {
        let (ready_set, news) = (Arc::new(ReadySet::default()), Arc::new(AtomicBool::new(false)));
        ready_set.notify(0);
        let notifier = {
            let (ready_set, news) = (ready_set.clone(), news.clone());
            thread::spawn(move || {
                news.store(true, Ordering::Relaxed);
                ready_set.notify(0);
            })
        };
        block_on(poll_fn(|context| {
            loop {
                let ready = ready_set.register_and_take(context.waker());
                if news.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                if ready == 0 {
                    return Poll::Pending;
                }
            }
        }));
        notifier.join().expect("the thread does not panic");
    });
}

#[test]
fn an_event_that_is_published_while_the_reader_starts_to_wait_wakes_it() {
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
        publisher.join().expect("the thread does not panic");
    });
}

#[test]
fn two_channels_that_notify_at_once_are_both_read() {
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
        publisher.join().expect("the thread does not panic");
        other.join().expect("the thread does not panic");
    });
}

#[test]
fn a_hub_ends_after_the_events_that_were_published_before() {
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
        publisher.join().expect("the thread does not panic");
    });
}

/// A publish during the closing is refused, or its event is read before the end.
#[test]
fn an_event_that_is_accepted_while_the_hub_closes_is_still_read() {
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
        let accepted = publisher.join().expect("the thread does not panic");
        assert_eq!(read, u64::from(accepted));
        closer.join().expect("the thread does not panic");
    });
}

#[test]
fn a_waiting_reader_is_woken_by_the_end() {
    model(4, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        let closer = {
            let hub = hub.clone();
            thread::spawn(move || hub.close())
        };
        assert_eq!(next_offset(&mut subscription), None);
        closer.join().expect("the thread does not panic");
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
        forgetter.join().expect("the thread does not panic");
    });
}

/// A notification takes the lock anew for each few readers. When a reader leaves meanwhile, another one takes its place.
#[test]
fn a_notification_misses_no_reader_while_another_leaves() {
    for leaving in 0..3 {
        model(3, move || {
            let position = Position { epoch: Epoch::random(), offset: 0 };
            let beginning = InitialPosition { position, is_first: true, is_kept: false };
            let log = Arc::new(ChannelLog::new(Channel::default(), Duration::ZERO, beginning, Arc::default()));
            let ready_sets: Vec<_> = (0..3).map(|_| Arc::new(ReadySet::default())).collect();
            for ready_set in &ready_sets {
                assert!(log.join(ready_set, 0).is_ok());
            }
            let leaver = {
                let (log, ready_set) = (log.clone(), ready_sets[leaving].clone());
                thread::spawn(move || log.leave(&ready_set, 0, Duration::ZERO))
            };
            let event = Event::text("x");
            let appended = log.append(Duration::ZERO, &EncodedEvent::new(&event), &Limits::default());
            assert!(appended.is_ok());
            log.notify();
            for (reader, ready_set) in ready_sets.iter().enumerate() {
                let ready = ready_set.register_and_take(std::task::Waker::noop());
                assert!(reader == leaving || ready == 1, "reader {reader} was missed while {leaving} left");
            }
            leaver.join().expect("the thread does not panic");
        });
    }
}

#[test]
fn a_reader_that_joins_while_an_event_is_appended_starts_after_it_or_is_woken() {
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
        publisher.join().expect("the thread does not panic");
    });
}

/// A waker that remembers being woken.
struct Woken(loom::sync::Notify);

impl GroupWaker for Woken {
    fn wake(&self, _key: u32) {
        self.0.notify();
    }
}

/// No reader waits for ever: it reads the event after it is attached, or its group is woken.
#[test]
fn a_reader_that_is_attached_while_an_event_is_appended_reads_it_or_is_woken() {
    model(3, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        subscription.first_block(FirstBlock::default());
        let woken = Arc::new(Woken(loom::sync::Notify::new()));
        let mut groups = ReaderGroups::new(woken.clone());
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "sse"))
        };
        let (key, cursor) = groups.attach(subscription).expect("it is at the end of the log");
        let mut read = groups.read(key, cursor, 1000);
        // A wake-up may be spurious, even from loom.
        while matches!(read, GroupRead::CaughtUp) {
            woken.0.wait();
            read = groups.read(key, cursor, 1000);
        }
        assert!(matches!(read, GroupRead::Frames { count: 1, .. }), "{read:?}");
        publisher.join().expect("the thread does not panic");
    });
}

/// The reader has the event ahead of its cursor, and is woken for later ones.
#[test]
fn a_reader_that_leaves_its_group_while_an_event_is_appended_reads_it() {
    model(3, || {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub, &["sse"]);
        subscription.first_block(FirstBlock::default());
        let mut groups = ReaderGroups::new(Arc::new(Woken(loom::sync::Notify::new())));
        let (key, cursor) = groups.attach(subscription).expect("it is at the end of the log");
        let publisher = {
            let hub = hub.clone();
            thread::spawn(move || publish(&hub, "sse"))
        };
        let mut subscription = groups.into_subscription(key, cursor).expect("the reader is in the group");
        assert_eq!(next_offset(&mut subscription), Some(1));
        publisher.join().expect("the thread does not panic");
    });
}
