//! Publishing twice under one key: one event, one result.

use std::{sync::Barrier, thread};

use tidecast::{Event, Hub, IdempotencyKey, Limits, Publication, Published, Start};

use crate::support::{Browser, default_with, hub_with, now, publish_with_key, secs};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).expect("a key")
}

fn publish_once(hub: &Hub, channel: &str, data: &str, text: &str) -> Published {
    publish_with_key(hub, channel, Event::text(data), key(text)).expect("the event is published")
}

#[test]
fn ten_publishes_with_one_key_deliver_one_event_and_return_one_result() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    let first = publish_once(&hub, "sse", "the first body wins", "key");
    assert_eq!((first.receivers, first.repeated), (1, false));
    // Readers that have come or left since make no difference.
    let _another = hub.subscribe(["sse"], Start::Live).unwrap();
    for _ in 0..9 {
        let mut again = publish_once(&hub, "sse", "not this one", "key");
        // A different event under the key was reported as published.
        assert!(std::mem::take(&mut again.repeated) && std::mem::take(&mut again.differs));
        assert_eq!(again, first);
    }
    let publication = Publication::new("sse", Event::text("nor this")).unwrap().with_idempotency_key(key("key"));
    assert_eq!(now(hub.publish_publication(publication)).unwrap().position, first.position);
    assert_eq!(browser.told(), ["the first body wins"]);
    assert_eq!((hub.stats().published, hub.stats().repeated), (1, 10));
}

#[test]
fn a_key_counts_in_its_channel_only() {
    let hub = Hub::new();
    assert!(!publish_once(&hub, "a", "x", "key").repeated);
    assert!(!publish_once(&hub, "b", "x", "key").repeated);
    assert!(!publish_once(&hub, "a", "x", "another key").repeated);
    assert!(publish_once(&hub, "a", "x", "key").repeated);
}

#[test]
fn a_key_is_forgotten_when_it_is_old() {
    let (hub, clock) = hub_with(default_with!(Limits { idempotency_age_max: secs(10) }));
    publish_once(&hub, "sse", "x", "key");
    clock.advance(secs(9));
    assert!(publish_once(&hub, "sse", "x", "key").repeated);
    // Counted from the first use, not from the last.
    clock.advance(secs(1));
    assert!(!publish_once(&hub, "sse", "x", "key").repeated);
    assert!(publish_once(&hub, "sse", "x", "key").repeated);
}

#[test]
fn an_age_of_zero_remembers_no_key() {
    let (hub, _) = hub_with(default_with!(Limits { idempotency_age_max: secs(0) }));
    publish_once(&hub, "sse", "x", "key");
    assert!(!publish_once(&hub, "sse", "x", "key").repeated);
}

#[test]
fn keys_are_limited_and_the_oldest_goes_first() {
    let (hub, _) = hub_with(default_with!(Limits { idempotency_keys_max: 3 }));
    for text in ["1", "2", "3", "4"] {
        publish_once(&hub, text, "x", text);
    }
    for text in ["4", "3", "2"] {
        assert!(publish_once(&hub, text, "x", text).repeated, "{text}");
    }
    assert!(!publish_once(&hub, "1", "x", "1").repeated);
    assert!(!publish_once(&hub, "2", "x", "2").repeated);
}

/// Room for a new key was made before the key was looked up. With as many keys as allowed, each repeat forgot the oldest
/// key, so that a repeat of the oldest was published anew.
#[test]
fn a_repeat_takes_no_room_so_it_forgets_no_key() {
    let (hub, _) = hub_with(default_with!(Limits { idempotency_keys_max: 2 }));
    publish_once(&hub, "sse", "x", "oldest");
    publish_once(&hub, "sse", "x", "newest");
    for _ in 0..3 {
        assert!(publish_once(&hub, "sse", "x", "newest").repeated);
        assert!(publish_once(&hub, "sse", "x", "oldest").repeated);
    }
    assert_eq!(hub.stats().published, 2);
}

#[test]
fn a_refused_publish_uses_no_key() {
    let (hub, _) = hub_with(default_with!(Limits { event_data_bytes_max: 1 }));
    assert!(publish_with_key(&hub, "sse", Event::text("xx"), key("key")).unwrap_err().is_too_large());
    assert!(!publish_once(&hub, "sse", "x", "key").repeated);
}

#[test]
fn threads_with_the_same_key_at_once_make_one_event() {
    const THREADS: usize = 4;
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    let barrier = Barrier::new(THREADS);
    let answers: Vec<Vec<Published>> = thread::scope(|scope| {
        let publishing = || {
            barrier.wait();
            (0..100).map(|number| publish_once(&hub, "sse", "x", &number.to_string())).collect()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(publishing)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends well")).collect()
    });
    for number in 0..100 {
        let of_one_key: Vec<_> = answers.iter().map(|answers| &answers[number]).collect();
        assert!(of_one_key.iter().all(|answer| answer.position == of_one_key[0].position));
        assert_eq!(of_one_key.iter().filter(|answer| !answer.repeated).count(), 1);
    }
    assert_eq!(browser.read().len(), 100);
}

/// A deleted channel kept its keys: a repeat returned a position of the deleted epoch, and delivered nothing in the new one.
#[test]
fn a_channel_that_is_deleted_forgets_its_keys() {
    let hub = Hub::new();
    let key = || IdempotencyKey::new("k").unwrap();
    let first = publish_with_key(&hub, "a", Event::text("x"), key()).unwrap();
    publish_with_key(&hub, "b", Event::text("x"), key()).unwrap();
    assert!(crate::support::forget(&hub, "a"));
    let again = publish_with_key(&hub, "a", Event::text("x"), key()).unwrap();
    assert!(!again.repeated);
    assert_ne!(again.position.epoch, first.position.epoch);
    assert!(publish_with_key(&hub, "b", Event::text("x"), key()).unwrap().repeated, "the other channel keeps its own");
}
