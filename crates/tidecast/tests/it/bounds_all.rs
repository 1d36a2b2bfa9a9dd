//! The limits of all logs together: eviction, idle channels and forgetting.

use tidecast::{Event, Hub, Limits, Start};

use crate::support::{Browser, default_with, forget, hub_with, name, publish, ready_next, secs};

fn names(hub: &Hub) -> Vec<String> {
    hub.channels(None, usize::MAX).iter().map(|info| info.channel.to_string()).collect()
}

#[test]
fn the_logs_published_to_longest_ago_lose_their_events_and_keep_their_position() {
    let (hub, clock) = hub_with(default_with!(Limits { logs_bytes_max: 100_000 }));
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
    // The first channel is used again, so it is no longer the one that has been idle for longest.
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

/// If one log alone could be as large as the limit, this failed one time in ten: no log may lose its events because of its
/// own publish.
#[test]
fn all_logs_together_stay_within_their_limit() {
    let limits = default_with!(Limits { logs_bytes_max: 200_000, log_bytes_max: 40_000 });
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
fn an_idle_channel_is_forgotten_once_its_log_is_empty_and_its_reader_has_been_gone_as_long() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
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
fn a_page_that_returns_in_that_time_gets_no_reset() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
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
    assert_eq!(names(&hub), [""; 0]);
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
}

#[test]
fn a_sweep_keeps_the_allowed_number_of_idle_channels_and_forgets_the_longest_idle() {
    let (hub, clock) = hub_with(default_with!(Limits { idle_channels_max: 3 }));
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
fn names_that_are_used_once_each_do_not_stay() {
    let (hub, clock) = hub_with(default_with!(Limits { idle_channels_max: 100, log_age_max: secs(10) }));
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
            // The channels with an event younger than 10 s, and the idle ones.
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

/// A program that only publishes may never sweep. The number of names is limited all the same.
#[test]
fn names_that_are_used_once_each_do_not_stay_even_without_a_sweep() {
    let (hub, _) = hub_with(default_with!(Limits { idle_channels_max: 100 }));
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
fn names_that_are_published_to_do_not_stay_if_memory_is_the_limit() {
    let limits = default_with!(Limits { idle_channels_max: 100, logs_bytes_max: 4 << 20 });
    let (hub, _) = hub_with(limits);
    for number in 0..25_000 {
        publish(&hub, &format!("name {number}"), "x");
    }
    let stats = hub.stats();
    assert!(stats.logs_bytes <= 4 << 20, "{stats:?}");
    assert!(stats.channels <= 10_100, "{stats:?}");
}

#[test]
fn forgetting_frees_the_memory_at_once() {
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
    // No channel of the refused subscriptions is read.
    assert_eq!((hub.stats().channel_readers, hub.stats().subscriptions), (0, 0));
    assert!(hub.publish_now("", Event::text("x")).unwrap_err().is_invalid());
}

/// When the channels alone took more than the limit of all logs, each publish visited all of them, and even dropped the
/// event that it had just appended: every event became a reset.
#[test]
fn channels_that_alone_exceed_the_limit_leave_a_new_event_to_its_readers() {
    let (hub, _) = hub_with(default_with!(Limits { logs_bytes_max: 20_000 }));
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

/// The memory of read channels counted towards the limit of all logs, and dropping events did not free it. A client that
/// read new names had the history of every channel dropped, at each publish again.
#[test]
fn names_that_are_only_read_cost_others_nothing_and_have_a_limit_of_their_own() {
    let limits = default_with!(Limits { logs_bytes_max: 100_000, read_channels_max: 1_000 });
    let (hub, clock) = hub_with(limits);
    let published: Vec<_> = (0..10).map(|number| format!("published {number}")).collect();
    for channel in &published {
        publish(&hub, channel, "x");
    }
    let subscribe = |number: usize| hub.subscribe([format!("name {number}")], Start::Live);
    let readers: Vec<_> = (0..1_000).map(|number| subscribe(number).unwrap()).collect();
    publish(&hub, "published 0", "y");
    assert_eq!((hub.stats().logs_evicted, hub.stats().log_events), (0, 11));
    assert!(hub.stats().logs_bytes < 100_000, "{:?}", hub.stats());

    let refused = subscribe(1_000).unwrap_err();
    assert!(refused.is_full() && refused.is_unavailable() && !refused.is_in_doubt(), "{refused}");
    // If one channel of a list is refused, none of them is read.
    assert!(hub.subscribe(["published 1", "another"], Start::Live).unwrap_err().is_full());
    assert_eq!(hub.stats().channel_readers, 1_000);
    // Channels that are read already, or had an event, may be read.
    let _more = [subscribe(7).unwrap(), hub.subscribe(&published, Start::Live).unwrap()];
    // A name that is published to no longer counts. One without a reader makes room, though it was not swept.
    publish(&hub, "name 0", "x");
    let _last = subscribe(1_000).unwrap();
    drop(readers);
    clock.advance(secs(1));
    subscribe(1_001).unwrap();
    assert!(hub.stats().channels < 20, "{:?}", hub.stats());
}

/// Any publish dropped the events of all other channels, even those that no reader had been given yet.
#[test]
fn without_room_for_any_log_events_still_reach_their_readers() {
    for logs_bytes_max in [0, 10_000] {
        let limits = default_with!(Limits { logs_bytes_max, log_events_max: 100 });
        let (hub, clock) = hub_with(limits);
        let names = ["a", "b", "c"];
        let mut browsers = names.map(|channel| Browser::connected(&hub, &[channel]));
        for number in 0..50 {
            for channel in names {
                publish(&hub, channel, &format!("{number} {}", "x".repeat(1_000)));
                publish(&hub, "unread", "x");
            }
        }
        hub.sweep();
        for browser in &mut browsers {
            assert_eq!(browser.read().len(), 50);
        }
        assert!(hub.channel(&name("unread")).unwrap().events <= 1);
        // Events for them are kept for some seconds, within the limits of their logs.
        for number in 0..500 {
            publish(&hub, "a", &number.to_string());
        }
        assert_eq!(hub.channel(&name("a")).unwrap().events, 100);
        clock.advance(secs(6));
        hub.sweep();
        assert!(hub.stats().logs_bytes <= logs_bytes_max as u64, "{:?}", hub.stats());
    }
}

/// Such a page was told `restarted`, though nothing had happened in its channels.
#[test]
fn a_page_that_was_away_for_long_gets_a_reset_only_for_channels_that_changed() {
    let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10) }));
    let channels = ["silent", "quiet", "busy", "deleted"];
    let mut browser = Browser::connected(&hub, &channels);
    for channel in &channels[1..] {
        publish(&hub, channel, channel);
    }
    browser.read();
    browser.cut();
    let away = || {
        clock.advance(secs(20));
        hub.sweep();
        assert_eq!(names(&hub), [""; 0]);
    };
    away();
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
    browser.cut();

    let before = publish(&hub, "busy", "while it was away");
    publish(&hub, "deleted", "as well");
    assert!(forget(&hub, "deleted"));
    away();
    browser.connect();
    assert_eq!(browser.told(), ["busy expired", "deleted restarted"]);
    assert_eq!(publish(&hub, "busy", "x").offset, before.offset + 1, "no position is given out twice");
    assert_eq!(browser.told(), ["x"]);
}

/// `0.0` was taken for the beginning of any log, even if an earlier log had been dropped.
#[test]
fn the_start_position_is_a_reset_once_a_channel_was_deleted() {
    let hub = Hub::new();
    publish(&hub, "sse", "lost");
    assert!(forget(&hub, "sse"));
    publish(&hub, "sse", "kept");
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.connect_from(Start::After(b"0.0".to_vec()));
    assert_eq!(browser.told(), ["sse restarted", "kept"]);
}

/// Positions are limited too. Beyond the limit a page gets a reset, and no position is given out twice.
#[test]
fn the_positions_of_forgotten_channels_are_limited() {
    for idle_channels_max in [0, 1, 10] {
        let (hub, clock) = hub_with(default_with!(Limits { log_age_max: secs(10), idle_channels_max }));
        let name = |number: usize| format!("channel {number}");
        let positions: Vec<_> = (0..40)
            .map(|number| {
                let position = publish(&hub, &name(number), "x");
                clock.advance(secs(11));
                hub.sweep();
                position
            })
            .collect();
        let mut whole = 0;
        for (number, position) in positions.iter().enumerate().rev() {
            let mut browser = Browser::new(&hub, &[&name(number)]);
            browser.connect_from(Start::After(position.to_string().into()));
            let told = browser.told();
            whole += usize::from(told.is_empty());
            assert!(told.is_empty() || told == [format!("{} restarted", name(number))], "{told:?}");
            let next = publish(&hub, &name(number), "y");
            assert!(if told.is_empty() { next.offset == 2 } else { next.epoch != position.epoch }, "{position} {next}");
        }
        assert!(whole <= idle_channels_max + 1 && whole >= idle_channels_max / 2, "{whole} of {idle_channels_max}");
    }
}
