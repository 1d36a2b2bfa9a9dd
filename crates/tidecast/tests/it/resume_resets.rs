//! Resuming where events are missing: one `stream-reset` for each channel, with the right reason, repeated until it has
//! arrived and not once more.

use tidecast::{Hub, Limits, Start, wire::FirstBlock};

use crate::support::{Browser, default_with, forget, hub_with, name, publish, publish_with_id, told};

/// Creates a hub whose logs keep three events.
fn short_hub() -> Hub {
    hub_with(default_with!(Limits { log_events_max: 3 })).0
}

fn publish_many(hub: &Hub, channel: &str, count: usize) {
    for number in 0..count {
        publish(hub, channel, &format!("{channel}{number}"));
    }
}

/// Returns the deliveries of a browser that returns with this id.
fn told_after(hub: &Hub, channels: &[&str], id: &str) -> Vec<String> {
    let mut browser = Browser::new(hub, channels);
    browser.connect_from(Start::After(id.into()));
    browser.told()
}

#[test]
fn dropped_events_are_expired_and_the_oldest_kept_events_follow() {
    let hub = short_hub();
    let mut browser = Browser::connected(&hub, &["sse"]);
    browser.read();
    browser.cut();
    publish_many(&hub, "sse", 4);
    browser.connect();
    let messages = browser.read();
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["sse expired", "sse1", "sse2", "sse3"]);
    // The reset stands just before the event that follows it.
    let data: serde_json::Value = serde_json::from_str(&messages[0].data).unwrap();
    let tail = hub.channel(&name("sse")).unwrap().tail.to_string();
    assert_eq!(data["resumed_at"], tail.as_str());
    assert_eq!(messages[0].last_event_id, tail);
    assert_eq!(hub.stats().resets_expired, 1);
}

#[test]
fn a_position_just_before_the_oldest_is_not_expired() {
    let hub = short_hub();
    let mut browser = Browser::connected(&hub, &["sse"]);
    browser.read();
    browser.cut();
    publish_many(&hub, "sse", 3);
    browser.connect();
    assert_eq!(browser.told(), ["sse0", "sse1", "sse2"]);
}

#[test]
fn a_reset_that_did_not_arrive_is_repeated() {
    let hub = short_hub();
    let mut browser = Browser::connected(&hub, &["sse"]);
    browser.read();
    publish_many(&hub, "sse", 0);
    browser.cut();
    publish_many(&hub, "sse", 4);
    // Cut before the first block, after it, and before the last byte of the reset.
    for blocks in 0..2 {
        browser.connect();
        assert_eq!(browser.read_blocks_and_cut(blocks), []);
    }
    browser.connect();
    let first_block_and_reset = browser.unread_len(1);
    let frames: usize = 3 * format!("data: sse0\nid: {}\n\n", browser.last_event_id).len();
    assert_eq!(browser.read_by(1, first_block_and_reset - frames - 1), []);
    browser.connect();
    assert_eq!(browser.told(), ["sse expired", "sse1", "sse2", "sse3"]);
}

#[test]
fn a_reset_that_arrived_is_not_repeated() {
    let hub = short_hub();
    let mut browser = Browser::connected(&hub, &["sse"]);
    browser.read();
    browser.cut();
    publish_many(&hub, "sse", 4);
    browser.connect();
    let messages = browser.read_blocks_and_cut(2);
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["sse expired"]);
    browser.connect();
    assert_eq!(browser.told(), ["sse1", "sse2", "sse3"]);
}

#[test]
fn the_second_of_two_resets_is_repeated_if_only_the_first_arrived() {
    let hub = short_hub();
    let mut browser = Browser::connected(&hub, &["b", "a"]);
    browser.read();
    browser.cut();
    publish_many(&hub, "a", 4);
    publish_many(&hub, "b", 4);
    browser.connect();
    let messages = browser.read_blocks_and_cut(2);
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["b expired"], "in the order of the request");
    browser.connect();
    let told = browser.told();
    assert_eq!(told[0], "a expired");
    assert_eq!(told.iter().filter(|told| told.starts_with('b')).count(), 3);
    assert_eq!(told.len(), 7);
}

#[test]
fn the_second_of_two_resets_for_an_unknown_id_is_repeated_too() {
    let hub = Hub::new();
    let mut browser = Browser::new(&hub, &["a", "b"]);
    browser.connect_from(Start::After(b"what?".to_vec()));
    let messages = browser.read_blocks_and_cut(2);
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["a unknown-id"]);
    browser.connect();
    // The id no longer tells the reason: it can only be a position that no log knows.
    assert_eq!(browser.told(), ["b restarted"]);
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
}

#[test]
fn a_reset_of_one_channel_leaves_the_others_where_they_were() {
    let hub = short_hub();
    let mut browser = Browser::connected(&hub, &["a", "b", "c"]);
    publish_many(&hub, "a", 1);
    browser.read();
    browser.cut();
    publish(&hub, "a", "a next");
    publish_many(&hub, "b", 4);
    browser.connect();
    let mut told = browser.told();
    assert_eq!(told.remove(0), "b expired");
    told.sort_unstable();
    assert_eq!(told, ["a next", "b1", "b2", "b3"]);
}

#[test]
fn an_id_that_is_no_cursor_is_unknown_for_each_channel() {
    let hub = Hub::new();
    let at = publish(&hub, "a", "x");
    let twice = [format!("{at},{at}"), format!("{at},{at},{at}"), format!("{at},{}.0", &at.to_string()[..12])];
    for id in ["0.0,", ",,", "0.0,0.0", "00c0ffee1234.1"].map(str::to_owned).iter().chain(&twice) {
        let told = told_after(&hub, &["a", "b", "c"], id);
        assert_eq!(told, ["a unknown-id", "b unknown-id", "c unknown-id", "x"], "after {id}");
    }
}

/// Channels in another order were all told `restarted`, though none had.
#[test]
fn each_position_goes_to_the_channel_whose_log_knows_it() {
    let hub = Hub::new();
    let [a, b, c] = ["a", "b", "c"].map(|channel| {
        let position = publish(&hub, channel, "before").to_string();
        publish(&hub, channel, channel);
        position
    });
    let told = |channels: &[&str], id: &[&str]| {
        let mut told = told_after(&hub, channels, &id.join(","));
        told.sort_unstable();
        told
    };
    assert_eq!(told(&["b", "a"], &[&a, &b]), ["a", "b"]);
    assert_eq!(told(&["c", "a", "b"], &[&a, &b, &c]), ["a", "b", "c"]);
    // One channel is gone, one is new, and both at once: the new one starts live.
    assert_eq!(told(&["a"], &[&a, &b]), ["a"]);
    assert_eq!(told(&["b", "a"], &[&a, &b, &c]), ["a", "b"]);
    assert_eq!(told(&["b", "a"], &[&a]), ["a"]);
    assert_eq!(told(&["c", "b", "a"], &[&a, &b]), ["a", "b"]);
    assert_eq!(told(&["c", "a"], &[&a, &b]), ["a"]);
    assert_eq!(told(&["new", "a"], &[&a, &b]), ["a"]);
}

#[test]
fn an_added_channel_starts_with_its_newest_events_if_asked() {
    let hub = Hub::new();
    let [a, _] = ["a", "b"].map(|channel| publish(&hub, channel, channel).to_string());
    publish(&hub, "b", "newest");
    let mut browser = Browser::new(&hub, &["b", "a"]);
    browser.connect_from(Start::AfterOrLast(a.clone().into(), 1));
    assert_eq!(browser.told(), ["newest"]);
    // A channel that the id covers resumes where it was.
    browser.connect_from(Start::AfterOrLast(browser.last_event_id.clone().into(), 1));
    assert_eq!(browser.told(), [""; 0]);
    browser.connect_from(Start::AfterOrLast(Vec::new(), 1));
    assert_eq!(browser.told().len(), 2);
    assert!(hub.subscribe(["a"], Start::AfterOrLast(a.into(), 1001)).unwrap_err().is_invalid());
}

/// Among positions that are known, it is the one that is left.
#[test]
fn of_channels_in_another_order_only_the_one_that_started_over_gets_a_reset() {
    let hub = Hub::new();
    let [a, b, c] = ["a", "b", "c"].map(|channel| publish(&hub, channel, channel).to_string());
    assert!(forget(&hub, "b"));
    publish(&hub, "b", "after");
    assert_eq!(told_after(&hub, &["c", "b", "a"], &[&*a, &b, &c].join(",")), ["b restarted", "after"]);
    assert_eq!(told_after(&hub, &["b", "c", "a"], &[&*a, &b, &c].join(",")), ["b restarted", "after"]);
    // It is unknown which of two it was, so the new one gets a reset as well.
    let told = told_after(&hub, &["b", "new", "c"], &[&*b, &c].join(","));
    assert_eq!(told, ["b unknown-id", "new unknown-id", "after"]);
}

#[test]
fn an_unknown_epoch_is_restarted() {
    let hub = Hub::new();
    publish(&hub, "a", "x");
    assert_eq!(told_after(&hub, &["a"], "00c0ffee1234.1"), ["a restarted", "x"]);
    assert_eq!(told_after(&hub, &["a"], "00c0ffee1234.0"), ["a restarted", "x"]);
    assert_eq!(told_after(&hub, &["a", "b"], "00c0ffee1234.1,00c0ffee1234.2"), ["a restarted", "b restarted", "x"]);
}

#[test]
fn a_position_of_another_channel_is_not_taken_for_one_of_this() {
    let hub = Hub::new();
    publish(&hub, "a", "x");
    let other = publish(&hub, "b", "y");
    assert_eq!(told_after(&hub, &["a"], &other.to_string()), ["a restarted", "x"]);
}

#[test]
fn a_position_after_the_newest_is_unknown() {
    let hub = Hub::new();
    let mut at = publish(&hub, "sse", "x");
    assert_eq!(told_after(&hub, &["sse"], &at.to_string()), [""; 0]);
    at.offset += 1;
    assert_eq!(told_after(&hub, &["sse"], &at.to_string()), ["sse unknown-id", "x"]);
    at.offset = u64::MAX;
    assert_eq!(told_after(&hub, &["sse"], &at.to_string()), ["sse unknown-id", "x"]);
}

#[test]
fn an_invalid_id_is_unknown_and_never_an_error() {
    let hub = Hub::new();
    publish(&hub, "sse", "x");
    for id in [b"what?".to_vec(), b"\xff\xfe".to_vec(), vec![b'1'; 256], vec![b'0'; 100_000], b"\0".to_vec()] {
        let mut browser = Browser::new(&hub, &["sse"]);
        browser.connect_from(Start::After(id.clone()));
        assert_eq!(browser.told(), ["sse unknown-id", "x"], "after {id:?}");
    }
    assert_eq!(hub.stats().resets_unknown_id, 5);
}

#[test]
fn an_own_id_whose_event_was_dropped_is_unknown() {
    let hub = short_hub();
    publish_with_id(&hub, "sse", "x", "own");
    publish_many(&hub, "sse", 3);
    assert_eq!(told_after(&hub, &["sse"], "own"), ["sse unknown-id", "sse0", "sse1", "sse2"]);
}

#[test]
fn the_start_is_expired_once_events_were_dropped() {
    let hub = short_hub();
    publish_many(&hub, "sse", 3);
    assert_eq!(told_after(&hub, &["sse"], "0.0"), ["sse0", "sse1", "sse2"]);
    publish_many(&hub, "sse", 1);
    assert_eq!(told_after(&hub, &["sse"], "0.0"), ["sse expired", "sse1", "sse2", "sse0"]);
}

#[test]
fn a_browser_that_returns_after_the_channel_was_deleted_is_told_restarted() {
    let hub = Hub::new();
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "before");
    browser.read();
    browser.cut();
    assert!(forget(&hub, "sse"));
    assert!(!forget(&hub, "sse"), "nobody knows it any more");
    publish(&hub, "sse", "after");
    browser.connect();
    assert_eq!(browser.told(), ["sse restarted", "after"]);
}

#[test]
fn before_a_reset_no_opening_event_moves_the_browser_past_it() {
    let hub = Hub::new();
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.first_block = default_with!(FirstBlock { open_event: true });
    browser.last_event_id = "what?".to_owned();
    browser.connect();
    assert_eq!(browser.told(), ["sse unknown-id"]);
    browser.connect();
    assert_eq!(browser.told(), ["open"]);
}

/// The first block once had no id if a reset was pending. A client that follows the standard to the letter takes an empty id
/// from a block without one: when it was cut before the reset, it returned live and was never told.
#[test]
fn the_first_block_gives_back_the_clients_id_until_the_reset_is_told() {
    let hub = short_hub();
    publish_many(&hub, "a", 5);
    publish_many(&hub, "b", 1);
    let head = hub.channel(&name("a")).unwrap().head;
    let expired = tidecast::Position { offset: 1, ..head }.to_string();
    let one = ["a"];
    let both = ["a", "b"];
    for (channels, asked, reason) in [
        (&one[..], expired.as_str(), "expired"),
        (&one, "0123456789ab.7", "restarted"),
        (&one, "no such id", "unknown-id"),
        (&both, "no such id", "unknown-id"),
        (&one, "with a\u{85}control", "unknown-id"),
    ] {
        let mut asked = asked.to_owned();
        for connection in 0..3 {
            let mut subscription = hub.subscribe(channels, Start::After(asked.clone().into())).unwrap();
            // Not even a client that asks for an opening event gets one: the reset follows at once.
            let block = subscription.first_block(default_with!(FirstBlock { open_event: true }));
            let mut literal = tidecast::wire::Decoder::new();
            literal.feed(&block, |item| assert!(matches!(item, tidecast::wire::Item::Retry(_)), "{item:?}")).unwrap();
            assert_ne!(literal.last_event_id(), "");
            // Cut here, it returns with the id that it has.
            literal.last_event_id().clone_into(&mut asked);
            let told = told_after(&hub, channels, &asked);
            assert!(told[0].starts_with("a ") && !told[0].starts_with("a0"), "{connection}: {told:?}");
            if connection == 0 && reason != "unknown-id" {
                assert_eq!(told[0], format!("a {reason}"));
            }
        }
    }
    // An id that can be sent is sent back as it came, so that the reason stays the same.
    let mut subscription = hub.subscribe(["a"], Start::After("no such id".into())).unwrap();
    let block = subscription.first_block(FirstBlock::default());
    assert!(block.ends_with(b"\nid: no such id\n\n"), "{block:?}");
}
