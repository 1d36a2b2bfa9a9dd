//! What all logs together keep, and which channels are remembered: eviction, idle channels, forgetting.

use tidecast::{Event, Hub, Limits, Start};

use crate::support::{Browser, forget, hub_with, name, publish, ready_next, secs};

fn names(hub: &Hub) -> Vec<String> {
    hub.channels(None, usize::MAX).iter().map(|info| info.channel.to_string()).collect()
}

#[test]
fn the_logs_published_to_longest_ago_lose_their_events_and_keep_their_position() {
    let (hub, clock) = hub_with(Limits { logs_bytes_max: 100_000, ..Limits::default() });
    let data = "x".repeat(8_000);
    let mut browsers: Vec<_> = ["0", "1", "2", "3", "4"]
        .map(|channel| {
            let mut browser = Browser::connected(&hub, &[channel]);
            browser.read();
            browser.cut();
            publish(&hub, channel, &data);
            clock.advance(secs(1));
            browser
        })
        .into();
    // The first is used again, so it is no longer the one that is idle longest.
    let head = publish(&hub, "0", &data);
    clock.advance(secs(1));
    assert_eq!(hub.stats().logs_evicted, 0);
    let mut published = 0;
    while hub.stats().logs_evicted == 0 {
        publish(&hub, "new", &data);
        published += 1;
        assert!(published < 20, "the bound of all logs holds");
        assert!(hub.stats().logs_bytes <= 100_000);
    }
    let events = |channel| hub.channel(&name(channel)).unwrap().events;
    assert_eq!((events("0"), events("1")), (2, 0));
    assert_eq!(hub.channel(&name("0")).unwrap().head, head);
    let evicted = hub.channel(&name("1")).unwrap();
    assert_eq!((evicted.tail, evicted.head.offset, evicted.bytes), (evicted.head, 1, 0));

    browsers[1].connect();
    assert_eq!(browsers[1].told(), ["1 expired"]);
    browsers[0].connect();
    assert_eq!(browsers[0].told().len(), 2);
    assert_eq!(publish(&hub, "1", "x").offset, 2, "offsets go on");
    assert_eq!(browsers[1].told(), ["x"]);
}

/// With a log that alone could be as large as the bound this failed one time in ten: no log loses its events to a publish
/// of its own.
#[test]
fn all_logs_together_stay_within_their_bound_whatever_is_published() {
    let limits = Limits { logs_bytes_max: 200_000, log_bytes_max: 40_000, ..Limits::default() };
    let (hub, clock) = hub_with(limits);
    for number in 0..2_000 {
        clock.advance(secs(0));
        publish(&hub, &format!("{}", number % 37), &"x".repeat(number * 7 % 5_000));
        let bytes = hub.stats().logs_bytes;
        assert!(bytes <= 200_000, "{bytes} after {number}");
    }
    assert!(hub.stats().logs_evicted > 0);
}

#[test]
fn an_idle_channel_is_forgotten_once_its_log_has_aged_out_and_its_reader_has_been_gone_as_long() {
    let (hub, clock) = hub_with(Limits { log_age_max: secs(10), ..Limits::default() });
    let reader = hub.subscribe(["sse"], Start::Live).unwrap();
    publish(&hub, "sse", "x");
    clock.advance(secs(11));
    hub.sweep();
    assert_eq!(names(&hub), ["sse"], "it is read");
    drop(reader);
    clock.advance(secs(9));
    hub.sweep();
    assert_eq!(names(&hub), ["sse"], "its reader has been gone for 9 s");
    clock.advance(secs(1));
    hub.sweep();
    assert_eq!(names(&hub), [""; 0]);
    assert_eq!(hub.stats().logs_bytes, 0);
    assert_eq!(hub.stats().published, 1, "it is still counted");
}

#[test]
fn a_page_that_comes_back_in_that_time_is_not_told_that_it_missed_something() {
    let (hub, clock) = hub_with(Limits { log_age_max: secs(10), ..Limits::default() });
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "x");
    clock.advance(secs(11));
    assert_eq!(browser.told(), ["x"]);
    browser.cut();
    clock.advance(secs(9));
    hub.sweep();
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
    browser.cut();
    clock.advance(secs(10));
    hub.sweep();
    browser.connect();
    assert_eq!(browser.told(), ["sse restarted"]);
}

#[test]
fn a_sweep_keeps_so_many_idle_channels_and_forgets_those_idle_longest() {
    let (hub, clock) = hub_with(Limits { idle_channels_max: 3, ..Limits::default() });
    for number in 0..10 {
        drop(hub.subscribe([format!("{number}")], Start::Live).unwrap());
        clock.advance(secs(1));
    }
    publish(&hub, "published", "x");
    let _reader = hub.subscribe(["read"], Start::Live).unwrap();
    assert_eq!(names(&hub).len(), 12);
    hub.sweep();
    assert_eq!(names(&hub), ["7", "8", "9", "published", "read"]);
}

#[test]
fn names_that_are_tried_once_each_do_not_stay() {
    let (hub, clock) = hub_with(Limits { idle_channels_max: 100, log_age_max: secs(10), ..Limits::default() });
    for number in 0..3_000 {
        let channel = format!("name {number}");
        if number % 2 == 0 {
            publish(&hub, &channel, "x");
        } else {
            drop(hub.subscribe([channel], Start::Live).unwrap());
        }
        if number % 100 == 99 {
            clock.advance(secs(1));
            hub.sweep();
            // Those with an event younger than 10 s, and the idle ones.
            let channels = hub.stats().channels;
            assert!(channels <= 11 * 50 + 100, "{channels}");
        }
    }
    clock.advance(secs(11));
    hub.sweep();
    assert_eq!(hub.stats().channels, 0);
    assert_eq!(hub.stats().logs_bytes, 0);
    assert_eq!(hub.stats().published, 1_500);
}

/// A program that only publishes may never sweep: names are then bounded by themselves.
#[test]
fn names_that_are_tried_once_each_do_not_stay_where_nobody_sweeps() {
    let (hub, _) = hub_with(Limits { idle_channels_max: 100, ..Limits::default() });
    let mut most = 0;
    for number in 0..25_000 {
        drop(hub.subscribe([format!("name {number}")], Start::Live).unwrap());
        if number % 1_000 == 0 {
            most = most.max(hub.stats().channels);
        }
    }
    assert!(most <= 10_100, "{most}");
    assert!(hub.stats().channels <= 10_100);
}

#[test]
fn the_same_where_each_was_published_to_and_memory_is_the_bound() {
    let limits = Limits { idle_channels_max: 100, logs_bytes_max: 4 << 20, ..Limits::default() };
    let (hub, _) = hub_with(limits);
    for number in 0..25_000 {
        publish(&hub, &format!("name {number}"), "x");
    }
    let stats = hub.stats();
    assert!(stats.logs_bytes <= 4 << 20, "{stats:?}");
    assert!(stats.channels <= 10_100, "{stats:?}");
}

#[test]
fn forgetting_gives_back_the_memory_at_once() {
    let (hub, _) = hub_with(Limits::default());
    for channel in 0..50 {
        publish(&hub, &channel.to_string(), &"x".repeat(1_000));
    }
    assert!(hub.stats().logs_bytes > 50_000);
    let reader = hub.subscribe(["0"], Start::Live).unwrap();
    for channel in 0..50 {
        assert!(forget(&hub, &channel.to_string()));
    }
    assert_eq!(names(&hub), ["0"], "it is read");
    assert_eq!(hub.stats().log_events, 0);
    drop(reader);
    assert!(forget(&hub, "0"));
    assert_eq!((hub.stats().channels, hub.stats().logs_bytes), (0, 0));
}

#[test]
fn channels_are_listed_by_name_in_pages() {
    let hub = Hub::new();
    for channel in ["b", "a", "d", "c", "é"] {
        publish(&hub, channel, "x");
    }
    assert_eq!(names(&hub), ["a", "b", "c", "d", "é"]);
    let page = |after, limit| -> Vec<String> {
        hub.channels(after, limit).iter().map(|info| info.channel.to_string()).collect()
    };
    assert_eq!(page(None, 2), ["a", "b"]);
    assert_eq!(page(Some("b"), 2), ["c", "d"]);
    assert_eq!(page(Some("bb"), 1), ["c"]);
    assert_eq!(page(Some("é"), 2), [""; 0]);
    assert_eq!(page(None, 0), [""; 0]);
}

#[test]
fn a_subscription_has_1_to_64_channels() {
    let hub = Hub::new();
    let numbered = |count: usize| (0..count).map(|number| number.to_string());
    assert_eq!(hub.subscribe(numbered(64).chain(numbered(64)), Start::Live).unwrap().channels().count(), 64);
    assert!(hub.subscribe(numbered(65), Start::Live).unwrap_err().is_invalid());
    assert!(hub.subscribe(numbered(0), Start::Live).unwrap_err().is_invalid());
    assert!(hub.subscribe(["ok", "not\nok"], Start::Live).unwrap_err().is_invalid());
    // None of those that were refused reads anything.
    assert_eq!((hub.stats().channel_readers, hub.stats().subscriptions), (0, 0));
    assert!(hub.publish_now("", Event::text("x")).unwrap_err().is_invalid());
}

/// Where channels alone took more than the bound of all logs, each publish looked at all of them, and cleared even the
/// log that it had just appended to: every event became a reset.
#[test]
fn channels_that_alone_exceed_the_bound_leave_a_fresh_event_to_its_readers() {
    let (hub, _) = hub_with(Limits { logs_bytes_max: 20_000, ..Limits::default() });
    let names: Vec<_> = (0..200).map(|number| format!("channel {number}")).collect();
    let mut readers: Vec<_> = names.iter().map(|name| hub.subscribe([name], Start::Live).unwrap()).collect();
    for (number, (name, reader)) in names.iter().zip(&mut readers).enumerate() {
        publish(&hub, name, &format!("event {number}"));
        let Some(tidecast::Delivery::Event(delivered)) = ready_next(reader) else { panic!("{name} lost its event") };
        assert_eq!(delivered.frame.message().data, format!("event {number}"));
    }
    assert!(hub.stats().logs_evicted < 400, "{:?}", hub.stats());
    drop(readers);
}
