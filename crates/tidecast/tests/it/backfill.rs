//! Readers that the log can't serve get the broker's history. Only events that the history lacks too are a reset.

use std::sync::Arc;

use tidecast::{Delivery, Event, Hub, Limits, Position, ResetReason, Start, broker::BackfillLimits, wire::FirstBlock};

use crate::{
    far::{Answers, FarBroker, far_hub},
    support::{
        Browser, default_with, name, now, numbers, publish, publish_numbers, publish_with_id, ready_bytes, resumed_at,
        told,
    },
};

/// Returns the deliveries of a browser that starts there.
fn told_from(hub: &Hub, start: Start) -> Vec<String> {
    let mut browser = Browser::new(hub, &["sse"]);
    browser.connect_from(start);
    browser.told()
}

/// Creates a browser that has read one event, after which `count` events are published that it has not read.
fn overrun(hub: &Hub, count: usize) -> (Browser, Position) {
    let mut browser = Browser::connected(hub, &["sse"]);
    let first = publish(hub, "sse", "sse0");
    assert_eq!(browser.told(), ["sse0"]);
    publish_numbers(hub, "sse", 1..=count);
    (browser, first)
}

fn head(hub: &Hub) -> Position {
    hub.channel(&name("sse")).expect("the channel is known").head
}

#[test]
fn a_slow_reader_gets_every_event_once_and_in_order() {
    for events_max in [1, 3, 50] {
        // Within a page, exactly pages, and more than one.
        for count in [4, 256 + events_max, 700] {
            let (hub, broker) = far_hub(events_max);
            let (mut browser, _) = overrun(&hub, count);
            assert_eq!(browser.told(), numbers("sse", 1..=count), "{events_max} {count}");
            assert_eq!(broker.asked(), (count.saturating_sub(events_max)).div_ceil(256));
            publish(&hub, "sse", "live");
            assert_eq!(browser.told(), ["live"]);
            assert_eq!(hub.stats().resets_too_slow, 0);
        }
    }
}

#[test]
fn a_reader_that_is_slow_on_one_of_several_channels_gets_complete_cursors() {
    let (hub, _) = far_hub(3);
    let mut browser = Browser::connected(&hub, &["a", "b"]);
    publish_numbers(&hub, "a", 1..=9);
    publish(&hub, "b", "b1");
    let messages = browser.read();
    let mut all: Vec<_> = messages.iter().map(told).collect();
    all.sort();
    assert_eq!(all, [numbers("a", 1..=9), numbers("b", 1..=1)].concat());
    assert!(messages.iter().all(|message| message.last_event_id.split(',').count() == 2));
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
}

#[test]
fn backfilled_events_are_as_they_were_published() {
    let (hub, _) = far_hub(1);
    let mut slow = Browser::connected(&hub, &["sse"]);
    let mut live = Browser::connected(&hub, &["sse"]);
    let event = Event::text("two\r\nlines").with_type("kind").and_then(|event| event.with_id("own")).unwrap();
    let mut lived = Vec::new();
    for event in [event, Event::text(""), Event::json(&[1]).unwrap(), Event::text("last")] {
        hub.publish_now("sse", event).unwrap();
        lived.extend(live.read());
    }
    assert_eq!(lived.len(), 4);
    assert_eq!(slow.read(), lived);
}

#[test]
fn missing_history_is_reported_once_just_before_the_next_event() {
    let (hub, broker) = far_hub(3);
    let (mut browser, first) = overrun(&hub, 20);
    broker.server.trim(&name("sse"), 10);
    let messages = browser.read();
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>()[..2], ["sse too-slow", "sse11"]);
    assert_eq!(messages.len(), 1 + 10);
    let resumed = resumed_at(&messages[0]);
    assert_eq!(resumed, Position { offset: 11, ..first });
    assert_eq!(messages[0].last_event_id, resumed.to_string());
    assert_eq!(messages[1].last_event_id, Position { offset: 12, ..first }.to_string());
    assert_eq!(hub.stats().resets_too_slow, 1);
}

#[test]
fn without_any_history_a_reader_continues_with_the_log() {
    let (hub, broker) = far_hub(3);
    let (mut browser, _) = overrun(&hub, 20);
    broker.server.trim(&name("sse"), 0);
    assert_eq!(browser.told(), ["sse too-slow", "sse18", "sse19", "sse20"]);
}

/// A page that the broker called complete was accepted as that. An event that was missing in its middle was passed over in
/// silence.
#[test]
fn a_hole_in_the_history_is_reported() {
    let (hub, broker) = far_hub(1);
    let (mut browser, _) = overrun(&hub, 6);
    broker.server.take_out(&name("sse"), 4);
    assert_eq!(browser.told(), ["sse1", "sse2", "sse too-slow", "sse4", "sse5", "sse6"]);
}

#[test]
fn a_reader_that_resumes_before_the_log_gets_history() {
    let (hub, _) = far_hub(3);
    let (mut browser, first) = overrun(&hub, 20);
    browser.cut();
    assert_eq!(told_from(&hub, Start::After(first.to_string().into())), numbers("sse", 1..=20));
    // From before every event, too.
    let all = [vec!["sse0".to_owned()], numbers("sse", 1..=20)].concat();
    assert_eq!(told_from(&hub, Start::After(b"0.0".to_vec())), all);
    assert_eq!(hub.stats().resets_expired, 0);
}

#[test]
fn a_reader_that_resumes_before_the_history_is_told_expired() {
    let (hub, broker) = far_hub(3);
    let (mut browser, first) = overrun(&hub, 20);
    broker.server.trim(&name("sse"), 10);
    browser.connect();
    let messages = browser.read();
    assert_eq!(messages.len(), 1 + 10);
    assert_eq!(told(&messages[0]), "sse expired");
    assert_eq!(resumed_at(&messages[0]), Position { offset: 11, ..first });
    assert_eq!(messages[0].last_event_id, Position { offset: 11, ..first }.to_string());
    // It does not repeat.
    browser.connect();
    assert_eq!(browser.told(), [""; 0]);
    assert_eq!(hub.stats().resets_expired, 1);
}

#[test]
fn a_reset_that_is_cut_off_is_repeated() {
    let (hub, broker) = far_hub(3);
    let (mut browser, _) = overrun(&hub, 20);
    broker.server.trim(&name("sse"), 10);
    for blocks in 0..2 {
        browser.connect();
        assert_eq!(browser.read_blocks_and_cut(blocks), []);
    }
    browser.connect();
    assert_eq!(browser.told()[0], "sse expired");
}

#[test]
fn last_reads_the_history_and_fewer_events_than_requested_are_no_reset() {
    let (hub, broker) = far_hub(3);
    publish_numbers(&hub, "sse", 1..=20);
    assert_eq!(told_from(&hub, Start::Last(0)), [""; 0]);
    // The channel has no reader yet, so the log has no event.
    assert_eq!(told_from(&hub, Start::Last(2)), numbers("sse", 19..=20));
    let mut reader = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 21..=30);
    reader.read();
    assert_eq!(told_from(&hub, Start::Last(2)), numbers("sse", 29..=30));
    assert_eq!(told_from(&hub, Start::Last(12)), numbers("sse", 19..=30));
    assert_eq!(told_from(&hub, Start::Last(1000)), numbers("sse", 1..=30));
    broker.server.trim(&name("sse"), 5);
    assert_eq!(told_from(&hub, Start::Last(1000)), numbers("sse", 26..=30));
    broker.server.trim(&name("sse"), 0);
    assert_eq!(told_from(&hub, Start::Last(1000)), numbers("sse", 28..=30));
    let stats = hub.stats();
    assert_eq!(stats.resets_expired + stats.resets_too_slow, 0);
}

#[test]
fn more_events_than_one_backfill_may_read_are_a_reset_and_then_the_newest() {
    let (hub, _) = far_hub(3);
    let (mut browser, first) = overrun(&hub, 10_050);
    let messages = browser.read();
    assert_eq!(told(&messages[0]), "sse too-slow");
    assert_eq!(resumed_at(&messages[0]), Position { offset: 51, ..first });
    assert_eq!(messages[1..].iter().map(told).collect::<Vec<_>>(), numbers("sse", 51..=10_050));
}

/// The limit of a backfill was a constant of the engine. Only the broker knows what its history can bear.
#[test]
fn a_broker_sets_the_limit_of_a_backfill() {
    for (events_max, published, first_told) in [(7, 20, 14), (20_000, 15_000, 1)] {
        let mut broker = FarBroker::on(Arc::default());
        broker.backfill_limits = BackfillLimits::new(events_max, 8 * 1024 * 1024);
        let limits = default_with!(Limits { log_events_max: 3 });
        let hub = Hub::builder().limits(limits).broker(Arc::new(broker)).build();
        let (mut browser, _) = overrun(&hub, published);
        let mut told = browser.told();
        told.retain(|told| told != "sse too-slow");
        assert_eq!(told, numbers("sse", first_told..=published));
    }
}

#[test]
fn more_bytes_than_one_backfill_may_read_are_a_reset_where_they_end() {
    let (hub, _) = far_hub(3);
    let mut browser = Browser::connected(&hub, &["sse"]);
    let megabyte = "x".repeat(1024 * 1024);
    for number in 0..20 {
        publish(&hub, "sse", &format!("{number:02}{}", &megabyte[..megabyte.len() - 2]));
    }
    let messages = browser.read();
    let short: Vec<_> = messages.iter().map(told).map(|told| told.chars().take(12).collect::<String>()).collect();
    let at = short.iter().position(|told| told == "sse too-slow").expect("a reset");
    // 8 MiB, and the frame that exceeds it.
    assert_eq!(at, 8);
    assert_eq!(short.len(), at + 1 + 3);
    assert!(short[at - 1].starts_with("07") && short[at + 1].starts_with("17"));
}

/// Any text as an id made the broker read the whole history, however large its events were.
#[test]
fn an_unused_id_reads_no_more_bytes_than_one_backfill() {
    let (hub, broker) = far_hub(2);
    let _reader = Browser::connected(&hub, &["sse"]);
    let large = "x".repeat(600 * 1024);
    for number in 0..40 {
        publish(&hub, "sse", &format!("{number}{large}"));
    }
    let told = told_from(&hub, Start::After("nobody's".into()));
    assert_eq!(told[0], "sse unknown-id");
    // Of the 24 MiB, a page of 16 events has more than 8.
    assert_eq!(broker.asked(), 1);
}

/// Own ids were searched for in the log alone, and so were unknown to a node that had just started.
#[test]
fn own_ids_are_searched_for_in_the_history_too() {
    let (hub, broker) = far_hub(2);
    let _reader = Browser::connected(&hub, &["sse"]);
    for (number, id) in [(1, "first"), (2, "twice"), (3, "also"), (4, "twice"), (5, "also"), (6, "last")] {
        publish_with_id(&hub, "sse", &format!("sse{number}"), id);
    }
    let told = |id: &str| told_from(&hub, Start::After(id.into()));
    assert_eq!(told("first"), numbers("sse", 2..=6));
    assert_eq!(told("last"), [""; 0]);
    let ambiguous = |rest| [vec!["sse ambiguous-id".to_owned()], rest].concat();
    // Both in the history; one there and one in the log.
    assert_eq!(told("twice"), ambiguous(numbers("sse", 3..=6)));
    assert_eq!(told("also"), ambiguous(numbers("sse", 4..=6)));
    assert_eq!(told("never"), ["sse unknown-id", "sse5", "sse6"]);
    // The event in the log may not be the oldest, if the history can't be read.
    broker.answer(Answers::Fails);
    assert_eq!(told("also"), ["sse ambiguous-id", "sse6"]);
    assert_eq!(told("first"), ["sse unknown-id", "sse5", "sse6"]);
}

/// A client that is cut meanwhile returns with the id that it had.
#[test]
fn an_own_id_is_given_back_while_it_is_searched_for() {
    let (hub, broker) = far_hub(1);
    publish_with_id(&hub, "sse", "sse1", "first");
    publish_numbers(&hub, "sse", 2..=3);
    broker.answer(Answers::Late);
    let mut browser = Browser::new(&hub, &["sse"]);
    browser.last_event_id = "first".to_owned();
    browser.connect();
    assert_eq!(browser.first_id().as_deref(), Some("first"));
    assert_eq!(browser.told(), [""; 0]);
    assert_eq!(broker.waiting(), 1);
    broker.answer(Answers::AtOnce);
    assert_eq!(browser.told(), numbers("sse", 2..=3));
}

#[test]
fn the_first_block_gives_back_the_clients_id_while_the_broker_is_asked() {
    let (hub, _) = far_hub(1);
    let (_browser, first) = overrun(&hub, 5);
    let mut subscription = hub.subscribe(["sse"], Start::After(first.to_string().into())).unwrap();
    let block = subscription.first_block(FirstBlock::default());
    assert_eq!(block, format!(": tidecast\nretry: 3000\nid: {first}\n\n"));
    assert!(String::from_utf8(ready_bytes(&mut subscription, 1)).unwrap().contains("\n\ndata: sse5\nid: "));
    assert_eq!(subscription.cursor().positions()[0], head(&hub));
}

/// In batches of every size, so that a page is taken in parts.
#[test]
fn a_page_that_is_taken_in_parts_is_complete() {
    for bytes_max in [1, 30, 64, 1000] {
        let (hub, _) = far_hub(2);
        let mut browser = Browser::connected(&hub, &["sse", "other"]);
        publish_numbers(&hub, "sse", 1..=40);
        let messages = browser.read_by(bytes_max, usize::MAX);
        assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), numbers("sse", 1..=40));
    }
}

/// The history also serves a log that lost its events to the limit of all logs, or to age.
#[test]
fn a_gap_of_the_node_is_filled_from_the_history() {
    let (hub, broker) = far_hub(100);
    let mut caught_up = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "sse1");
    assert_eq!(caught_up.told(), ["sse1"]);
    let mut behind = Browser::connected(&hub, &["sse"]);
    publish(&hub, "sse", "sse2");
    assert_eq!(caught_up.told(), ["sse2"]);
    broker.lag();
    publish_numbers(&hub, "sse", 3..=9);
    broker.miss("sse", 6);
    broker.deliver_all("sse");
    assert_eq!(caught_up.told(), numbers("sse", 3..=9));
    assert_eq!(behind.told(), numbers("sse", 2..=9));
    // Even if no later event has shown the gap yet.
    publish_numbers(&hub, "sse", 10..=12);
    broker.miss_all("sse");
    assert_eq!(caught_up.told(), numbers("sse", 10..=12));
    assert_eq!(hub.stats().resets_too_slow, 0);
}

/// Another server took over that lacked every event of the channel, and the node had not heard of that. The history from the
/// beginning was of the other epoch, and a slow reader was given its events in place of the lost ones. If the node caught up
/// before the reader had read them all, the reader was never told.
#[test]
fn history_from_the_beginning_in_an_epoch_that_the_log_has_not_heard_of_is_a_reset() {
    let (hub, broker) = far_hub(1);
    broker.lag();
    let mut subscription = hub.subscribe(["sse"], Start::Live).expect("the hub is open");
    publish_numbers(&hub, "sse", 1..=3);
    broker.deliver_all("sse");
    broker.restart("sse", 3);
    let first = publish(&hub, "sse", "another sse1");
    publish(&hub, "sse", "another sse2");
    let Some(Delivery::Reset(reset)) = now(subscription.next()) else { panic!("a reset") };
    assert_eq!((reset.reason, reset.resumed_at), (ResetReason::Restarted, Position { offset: 0, ..first }));
    for label in ["another sse1", "another sse2"] {
        let Some(Delivery::Event(delivered)) = now(subscription.next()) else { panic!("an event") };
        assert_eq!(delivered.frame.message().data, label);
        // The node hears of the other epoch.
        broker.deliver_all("sse");
    }
    assert!(ready_bytes(&mut subscription, 1).is_empty());
}
