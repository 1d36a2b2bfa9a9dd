//! Real threads that publish, subscribe, read and leave at once: no event is lost, doubled or out of order, and nothing is
//! left behind.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use tidecast::{Delivery, Event, Hub, Limits, Start, Subscription};

use crate::support::{block_on, default_with, forget, name, publish};

/// Returns the next event: its channel, its offset and its data.
fn next(subscription: &mut Subscription) -> Option<(String, u64, String)> {
    let Delivery::Event(delivered) = block_on(subscription.next())? else { panic!("the logs are long enough") };
    let at = subscription.channels().position(|channel| *channel == delivered.channel).expect("its channel");
    let offset = delivered.cursor.positions()[at].offset;
    Some((delivered.channel.to_string(), offset, delivered.frame.message().data))
}

fn roomy() -> Hub {
    Hub::builder().limits(default_with!(Limits { log_events_max: 100_000 })).build()
}

#[test]
fn readers_that_come_and_leave_during_publishes_get_every_event_in_order() {
    const PUBLISHERS: usize = 2;
    const EACH: usize = 2_000;
    let hub = roomy();
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (hub, ended) = (&hub, &ended);
            scope.spawn(move || {
                for number in 0..EACH {
                    publish(hub, "a", &format!("{publisher} {number}"));
                    publish(hub, "b", &format!("{publisher} {number}"));
                }
                // The last publisher closes the hub, and so ends the readers.
                if ended.fetch_add(1, Ordering::SeqCst) + 1 == PUBLISHERS {
                    hub.close();
                }
            });
        }
        for reader in 0..4_usize {
            let hub = &hub;
            scope.spawn(move || {
                let channels: &[&str] = if reader % 2 == 0 { &["a"] } else { &["a", "b"] };
                let begin = vec!["0.0"; channels.len()].join(",");
                let Ok(mut subscription) = hub.subscribe(channels.iter().copied(), Start::After(begin.into())) else {
                    return;
                };
                let mut offsets = vec![0; channels.len()];
                let mut numbers = vec![[None; PUBLISHERS]; channels.len()];
                let mut heard = 0;
                while let Some((channel, offset, data)) = next(&mut subscription) {
                    let at = channels.iter().position(|name| *name == channel).expect("its channel");
                    offsets[at] += 1;
                    assert_eq!(offset, offsets[at], "lost, doubled or out of order");
                    let (publisher, number) = data.split_once(' ').expect("both");
                    let (publisher, number): (usize, usize) = (publisher.parse().unwrap(), number.parse().unwrap());
                    let before = numbers[at][publisher].replace(number);
                    assert_eq!(number, before.map_or(0, |before: usize| before + 1), "a publisher's own order");
                    heard += 1;
                    // Some leave now and then, and resume.
                    if reader >= 2 && heard % 100 == 0 {
                        let cursor = subscription.cursor().to_string();
                        drop(subscription);
                        match hub.subscribe(channels.iter().copied(), Start::After(cursor.into())) {
                            Ok(again) => subscription = again,
                            Err(closed) => return assert!(closed.is_closed()),
                        }
                    }
                }
                assert_eq!(offsets, vec![(PUBLISHERS * EACH) as u64; channels.len()], "all before the end came");
            });
        }
    });
    let stats = hub.stats();
    assert_eq!((stats.subscriptions, stats.channel_readers), (0, 0));
    assert_eq!(stats.published, (2 * PUBLISHERS * EACH) as u64);
}

#[test]
fn a_crowd_that_leaves_while_it_is_notified_cuts_nobody_off() {
    let hub = roomy();
    let events = 50;
    thread::scope(|scope| {
        let mut staying: Vec<_> = (0..40).map(|_| hub.subscribe(["sse"], Start::Live).unwrap()).collect();
        let mut leaving: Vec<_> = (0..200).map(|_| hub.subscribe(["sse"], Start::Live).unwrap()).collect();
        let publishing = &hub;
        scope.spawn(move || {
            for number in 0..events {
                publish(publishing, "sse", &number.to_string());
            }
        });
        scope.spawn(move || {
            while !leaving.is_empty() {
                leaving.swap_remove(leaving.len() / 2);
            }
        });
        scope.spawn(move || {
            for number in 0..events {
                for subscription in &mut staying {
                    assert_eq!(next(subscription).expect("the hub is open").2, number.to_string());
                }
            }
        });
    });
    assert_eq!(hub.channel(&name("sse")).unwrap().subscribers, 0);
}

#[test]
fn sweeping_and_forgetting_beside_publishing_and_subscribing_lose_no_reader() {
    let limits = default_with!(Limits { idle_channels_max: 0, log_age_max: std::time::Duration::ZERO });
    let hub = Hub::builder().limits(limits).build();
    let at_work = AtomicUsize::new(2);
    thread::scope(|scope| {
        let (hub, at_work) = (&hub, &at_work);
        scope.spawn(move || {
            for _ in 0..2_000 {
                publish(hub, "sse", "x");
            }
            at_work.fetch_sub(1, Ordering::SeqCst);
        });
        scope.spawn(move || {
            for number in 0..500 {
                // The log may be evicted between any two steps. Then this is a reader of the next one.
                let mut subscription = hub.subscribe(["sse"], Start::Live).expect("the hub is open");
                let published = hub.publish_now("sse", Event::text(number.to_string())).expect("it is");
                assert!(published.receivers >= 1, "the publisher sees the reader");
                assert!(block_on(subscription.next()).is_some(), "the event, or a reset in its place");
            }
            at_work.fetch_sub(1, Ordering::SeqCst);
        });
        scope.spawn(move || {
            while at_work.load(Ordering::SeqCst) > 0 {
                hub.sweep();
                forget(hub, "sse");
            }
        });
    });
    forget(&hub, "sse");
    hub.sweep();
    let stats = hub.stats();
    assert_eq!((stats.channels, stats.channel_readers, stats.logs_bytes), (0, 0, 0));
    assert_eq!(stats.published, 2_500);
}

/// A publish checked that the hub was open, and appended after it was closed. It was accepted, but every subscription had
/// ended before. The logs are closed first now.
#[test]
fn an_event_that_is_accepted_while_the_hub_closes_reaches_its_readers() {
    for round in 0..1_500_u32 {
        let hub = roomy();
        let mut subscription = hub.subscribe(["a"], Start::Live).unwrap();
        let (accepted, received) = thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                let accepts = |number: &u64| hub.publish_now("a", Event::text(number.to_string())).is_ok();
                (0..100_000).take_while(accepts).count()
            });
            let reader = scope.spawn(move || {
                let mut received = 0;
                while next(&mut subscription).is_some() {
                    received += 1;
                }
                received
            });
            // Not at the very first moment in every round.
            for _ in 0..(round % 300) * 20 {
                std::hint::spin_loop();
            }
            hub.close();
            (publisher.join().unwrap(), reader.join().unwrap())
        });
        assert_eq!(accepted, received, "round {round}");
    }
}
