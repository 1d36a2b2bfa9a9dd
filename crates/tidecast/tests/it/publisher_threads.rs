//! Real threads that publish to feeds, read them, come and leave: one order for all, and no event is lost in silence.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use tidecast::{Error, Event, FeedOptions, Publisher, STREAM_RESET, WhenFull};

use crate::support::{block_on, default_with, feed_bytes};

const PUBLISHERS: usize = 3;
const EACH: usize = 1_000;

fn options(when_full: WhenFull, events_max: usize) -> FeedOptions {
    default_with!(FeedOptions { when_full, events_max })
}

#[test]
fn subscribers_that_are_waited_for_get_every_event_in_the_same_order() {
    let publisher = Publisher::new();
    let feeds: Vec<_> =
        (0..3).map(|_| publisher.subscribe(["a", "b"], (), options(WhenFull::Wait, 4)).unwrap()).collect();
    let ended = AtomicUsize::new(0);
    let told: Vec<Vec<String>> = thread::scope(|scope| {
        for number in 0..PUBLISHERS {
            let (publisher, ended) = (publisher.clone(), &ended);
            scope.spawn(move || {
                for event in 0..EACH {
                    let event = Event::text(format!("{number} {event}"));
                    let copies = if number == 0 {
                        block_on(publisher.publish_with(["b"], |()| Ok::<_, Error>(Some(event.clone()))))
                    } else {
                        block_on(publisher.publish(["a"], event))
                    };
                    assert_eq!(copies.unwrap(), 3);
                }
                if ended.fetch_add(1, Ordering::SeqCst) + 1 == PUBLISHERS {
                    publisher.close();
                }
            });
        }
        let read = |mut feed: tidecast::Feed| {
            let mut told = Vec::new();
            while let Some(frame) = block_on(feed.next()) {
                told.push(frame.message().data);
            }
            told
        };
        let readers: Vec<_> = feeds.into_iter().map(|feed| scope.spawn(move || read(feed))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert_eq!(told[0].len(), PUBLISHERS * EACH);
    assert!(told.iter().all(|other| *other == told[0]), "one order for all");
    for number in 0..PUBLISHERS {
        let own = told[0].iter().filter(|data| data.starts_with(&format!("{number} ")));
        let expected: Vec<_> = (0..EACH).map(|event| format!("{number} {event}")).collect();
        assert_eq!(own.cloned().collect::<Vec<_>>(), expected, "and each thread's own");
    }
}

/// Frames and missed events add up to the published ones, however slow the reader was.
#[test]
fn dropped_events_are_counted_and_the_rest_is_in_order() {
    let publisher = Publisher::new();
    let feeds: Vec<_> = [1, 7, 100]
        .into_iter()
        .map(|events_max| publisher.subscribe(["a"], (), options(WhenFull::DropOldest, events_max)).unwrap())
        .collect();
    thread::scope(|scope| {
        for mut feed in feeds {
            scope.spawn(move || {
                let mut next = 0;
                while let Some(frame) = block_on(feed.next()) {
                    let message = frame.message();
                    if message.event_type == STREAM_RESET {
                        let reset: serde_json::Value = serde_json::from_str(&message.data).unwrap();
                        next += reset["missed"].as_u64().unwrap();
                    } else {
                        assert_eq!(message.data, next.to_string());
                        next += 1;
                    }
                }
                assert_eq!(next, EACH as u64);
            });
        }
        for number in 0..EACH {
            assert_eq!(publisher.publish_now(["a"], Event::text(number.to_string())).unwrap(), 3);
        }
        publisher.close();
    });
}

#[test]
fn subscribers_that_come_and_leave_during_publishes_leave_nothing_behind() {
    let publisher = Publisher::new();
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..4)
            .map(|visitor| {
                let publisher = publisher.clone();
                let when_full = [WhenFull::DropOldest, WhenFull::End, WhenFull::Wait][visitor % 3];
                scope.spawn(move || {
                    for visit in 0..300 {
                        let mut feed = publisher.subscribe(["a", "b"], visitor, options(when_full, 2)).unwrap();
                        for _ in 0..visit % 4 {
                            // Without waiting, because it may be this one that would be waited for.
                            let _ = publisher.publish_now(["a"], Event::text("x"));
                            feed_bytes(&mut feed);
                            publisher.unsubscribe(["b"], |who| *who == visitor).unwrap();
                        }
                    }
                })
            })
            .collect();
        for visitor in visitors {
            visitor.join().unwrap();
        }
    });
    assert!(format!("{publisher:?}").contains("channels: 0, subscribers: 0"), "{publisher:?}");
}
