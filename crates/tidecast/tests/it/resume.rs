//! Resuming by position, by cursor, by a publisher's own id, and without an id: one case for each. Cases with missing events
//! are in [`resume_resets`](crate::resume_resets).

use tidecast::{Delivery, Hub, Limits, Position, Start, wire::FirstBlock};

use crate::support::{
    Browser, decode, default_with, hub_with, publish, publish_with_id, ready_bytes, ready_next, told,
};

#[test]
fn a_live_subscription_gets_the_events_from_now_on() {
    let hub = Hub::new();
    publish(&hub, "sse", "before");
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "after");
    assert_eq!(browser.told(), ["after"]);
}

#[test]
fn the_first_block_is_a_comment_a_retry_and_an_id() {
    let hub = Hub::new();
    let at = publish(&hub, "sse", "before");
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    let block = subscription.first_block(FirstBlock::default());
    assert_eq!(block, format!(": tidecast\nretry: 3000\nid: {at}\n\n"));
    assert_eq!(ready_bytes(&mut subscription, 1), b"", "it is told once");
}

#[test]
fn a_browser_that_is_cut_before_its_first_event_misses_nothing() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    assert_eq!(browser.told(), [""; 0]);
    browser.cut();
    publish(&hub, "sse", "missed?");
    browser.connect();
    assert_eq!(browser.told(), ["missed?"]);
}

#[test]
fn a_browser_that_is_cut_within_its_first_block_has_no_id_and_is_live_again() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    let len = browser.unread_len(1000);
    assert_eq!(browser.read_by(1000, len - 1), []);
    publish(&hub, "sse", "before it was there");
    browser.connect();
    publish(&hub, "sse", "after");
    assert_eq!(browser.told(), ["after"]);
}

#[test]
fn a_block_that_was_cut_comes_again() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    browser.read();
    publish(&hub, "sse", "one");
    publish(&hub, "sse", "two");
    let len = browser.unread_len(1000);
    let messages = browser.read_by(1000, len - 1);
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["one"]);
    browser.connect();
    assert_eq!(browser.told(), ["two"]);
}

#[test]
fn a_silent_channel_beside_a_busy_one_misses_nothing() {
    let (hub, _) = hub_with(default_with!(Limits { log_events_max: 10 }));
    let mut browser = Browser::connected(&hub, &["silent", "busy"]);
    for number in 0..100 {
        publish(&hub, "busy", &number.to_string());
        assert_eq!(browser.told(), [number.to_string()]);
    }
    browser.cut();
    publish(&hub, "silent", "at last");
    browser.connect();
    assert_eq!(browser.told(), ["at last"]);
}

#[test]
fn a_channel_that_is_named_twice_counts_once() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["b", "a", "b", "a", "b"]);
    browser.read();
    assert_eq!(browser.last_event_id.split(',').count(), 2);
    browser.cut();
    let published = hub.publish_now("b", tidecast::Event::text("once")).unwrap();
    assert_eq!(published.receivers, 0);
    browser.connect();
    assert_eq!(hub.stats().channel_readers, 2);
    assert_eq!(browser.told(), ["once"]);
    assert!(browser.last_event_id.starts_with(&published.position.to_string()), "in the order of the request");
}

#[test]
fn an_empty_id_is_no_id() {
    let hub = Hub::new();
    publish(&hub, "sse", "before");
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.connect_from(Start::After(Vec::new()));
    assert_eq!(browser.told(), [""; 0]);
}

#[test]
fn the_start_of_a_channel_without_a_log_is_the_start_of_its_log() {
    let hub = Hub::new();
    publish(&hub, "b", "one");
    publish(&hub, "b", "two");
    let mut browser = Browser::new(&hub, &["a", "b"]);
    browser.connect_from(Start::After(b"0.0,0.0".to_vec()));
    assert_eq!(browser.told(), ["one", "two"]);
}

#[test]
fn the_newest_events_come_oldest_first_and_then_the_live_ones() {
    let hub = Hub::new();
    for number in 0..5 {
        publish(&hub, "sse", &number.to_string());
    }
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.connect_from(Start::Last(2));
    publish(&hub, "sse", "live");
    assert_eq!(browser.told(), ["3", "4", "live"]);
    browser.connect_from(Start::Last(0));
    assert_eq!(browser.told(), [""; 0]);
    browser.connect_from(Start::Last(1000));
    assert_eq!(browser.told(), ["0", "1", "2", "3", "4", "live"]);
    assert!(hub.subscribe(["sse"], Start::Last(1001)).unwrap_err().is_invalid());
}

#[test]
fn the_newest_events_are_resumed_from_where_they_began() {
    let hub = Hub::new();
    for number in 0..5 {
        publish(&hub, "sse", &number.to_string());
    }
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.connect_from(Start::Last(2));
    assert_eq!(browser.read_blocks_and_cut(1), []);
    publish(&hub, "sse", "5");
    browser.connect();
    assert_eq!(browser.told(), ["3", "4", "5"]);
}

#[test]
fn the_newest_of_several_channels_are_counted_for_each() {
    let hub = Hub::new();
    for number in 0..3 {
        publish(&hub, "a", &format!("a{number}"));
        publish(&hub, "b", &format!("b{number}"));
    }
    let mut browser = Browser::new(&hub, &["a", "b", "c"]);
    browser.connect_from(Start::Last(2));
    let mut told = browser.told();
    told.sort_unstable();
    assert_eq!(told, ["a1", "a2", "b1", "b2"]);
}

#[test]
fn a_page_gets_an_opening_event_if_it_asks_for_one() {
    let hub = Hub::new();
    let at = publish(&hub, "sse", "before");
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    let block = subscription.first_block(default_with!(FirstBlock { open_event: true }));
    let [message] = &decode(&block)[..] else { panic!("one event") };
    assert_eq!(message.event_type, "stream-open");
    assert_eq!(message.data, format!(r#"{{"position":"{at}"}}"#));
    assert_eq!(message.last_event_id, at.to_string());
    publish(&hub, "sse", "after");
    assert_eq!(decode(&ready_bytes(&mut subscription, 1)).iter().map(told).collect::<Vec<_>>(), ["after"]);
}

#[test]
fn a_program_resumes_by_the_cursor_of_its_last_event() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe(["a", "b"], Start::Live).unwrap();
    publish_with_id(&hub, "a", "one", "own");
    publish(&hub, "b", "two");
    let Some(Delivery::Event(first)) = ready_next(&mut subscription) else { panic!("an event") };
    assert_eq!(first.cursor, subscription.cursor());
    assert_eq!(first.cursor.positions().iter().map(|position| position.offset).sum::<u64>(), 1);
    let mut again = hub.subscribe(["a", "b"], Start::After(first.cursor.to_string().into())).unwrap();
    let both = [ready_next(&mut subscription), ready_next(&mut again)];
    assert!(both[0].is_some());
    assert_eq!(both[0], both[1]);
    assert_eq!(ready_next(&mut again), None);
}

#[test]
fn positions_are_read_only_as_they_are_written() {
    for text in ["00c0ffee1234.17", "0.0", "ffffffffffff.0", "00c0ffee1234.18446744073709551615"] {
        assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
    }
    for text in [
        "",
        ".",
        "0",
        "0.1",
        "0.00",
        "00c0ffee1234",
        "00c0ffee1234.",
        "00c0ffee1234.017",
        "00c0ffee1234.+1",
        "00c0ffee1234.1.1",
        "00C0FFEE1234.1",
        "c0ffee1234.1",
        "000000000000.1",
        "+0c0ffee1234.1",
        " 00c0ffee1234.1",
        "00c0ffee1234.18446744073709551616",
        "00c0ffee1234.٣",
    ] {
        assert!(text.parse::<Position>().unwrap_err().is_invalid(), "{text:?}");
    }
}
