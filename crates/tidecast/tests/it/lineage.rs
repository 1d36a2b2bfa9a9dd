//! Another server takes over and may lack events that the first had acknowledged. Offsets continue in another epoch. Readers
//! of an earlier epoch are told `restarted` and continue where the two agree.

use tidecast::{
    Epoch, Event, Hub, Position, Start,
    broker::{EncodedEvent, Head},
    wire::FirstBlock,
};

use crate::{
    far::far_hub,
    support::{Browser, default_with, name, numbers, publish, publish_numbers, resumed_at, told},
};

fn told_after(hub: &Hub, position: Position) -> (Vec<String>, Option<Position>) {
    let mut browser = Browser::new(hub, &["sse"]);
    browser.connect_from(Start::After(position.to_string().into()));
    let messages = browser.read();
    let resumed_at = messages.first().filter(|first| first.event_type == tidecast::STREAM_RESET).map(resumed_at);
    (messages.iter().map(told).collect(), resumed_at)
}

fn restarted(rest: Vec<String>) -> Vec<String> {
    [vec!["sse restarted".to_owned()], rest].concat()
}

#[test]
fn a_cursor_of_an_earlier_epoch_continues_after_its_offset_or_the_last_of_its_epoch() {
    // Once with the events in the log, once only in the history.
    for events_max in [100, 2] {
        let (hub, broker) = far_hub(events_max);
        let mut reader = Browser::connected(&hub, &["sse"]);
        let first = publish(&hub, "sse", "sse1");
        publish_numbers(&hub, "sse", 2..=5);
        reader.read();
        let now = broker.restart("sse", 2);
        publish_numbers(&hub, "sse", 4..=9);
        let at = |offset| Position { offset, ..now };
        for offset in 1..=3 {
            let expected = restarted(numbers("sse", offset as usize + 1..=9));
            let told = told_after(&hub, Position { offset, ..first });
            assert_eq!(told, (expected, Some(at(offset))), "{events_max} {offset}");
        }
        for offset in [4, 5, 99, u64::MAX] {
            let told = told_after(&hub, Position { offset, ..first });
            assert_eq!(told, (restarted(numbers("sse", 4..=9)), Some(at(3))), "{events_max} {offset}");
        }
        // A position of the present epoch is no reset.
        assert_eq!(told_after(&hub, at(4)), (numbers("sse", 5..=9), None));
    }
}

#[test]
fn missing_history_after_it_is_one_reset() {
    let (hub, broker) = far_hub(2);
    let _reader = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "sse1");
    let now = broker.restart("sse", 0);
    publish_numbers(&hub, "sse", 2..=9);
    broker.server.trim(&name("sse"), 4);
    let resumed_at = Position { offset: 5, ..now };
    assert_eq!(told_after(&hub, first), (restarted(numbers("sse", 6..=9)), Some(resumed_at)));
    assert_eq!(hub.stats().resets_expired, 0);
}

#[test]
fn an_unknown_epoch_starts_with_the_oldest_event() {
    let (hub, broker) = far_hub(3);
    let _reader = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 1..=3);
    let now = broker.restart("sse", 0);
    publish_numbers(&hub, "sse", 4..=9);
    let elsewhere = Position { epoch: Epoch::random(), offset: 5 };
    let resumed_at = Position { offset: 6, ..now };
    assert_eq!(told_after(&hub, elsewhere), (restarted(numbers("sse", 7..=9)), Some(resumed_at)));
}

#[test]
fn a_chain_of_epochs_is_followed() {
    let (hub, broker) = far_hub(2);
    let _reader = Browser::connected(&hub, &["sse"]);
    let mut old = Vec::new();
    for number in 1..=5 {
        old.push(publish(&hub, "sse", &format!("sse{number}")));
        broker.restart("sse", 0);
    }
    publish(&hub, "sse", "sse6");
    for (number, position) in (2..).zip(old) {
        assert_eq!(told_after(&hub, position).0, restarted(numbers("sse", number..=6)));
    }
}

#[test]
fn live_readers_are_told_and_none_takes_two_events_for_one() {
    let (hub, broker) = far_hub(100);
    let mut caught_up = Browser::connected(&hub, &["sse"]);
    let mut behind = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 1..=3);
    behind.read();
    publish_numbers(&hub, "sse", 4..=5);
    caught_up.read();
    let now = broker.restart("sse", 1);
    publish(&hub, "sse", "another sse5");
    let messages = caught_up.read();
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["sse restarted", "another sse5"]);
    assert_eq!(resumed_at(&messages[0]), now);
    assert_eq!(behind.told(), ["sse restarted", "sse4", "another sse5"]);
    for browser in [&mut caught_up, &mut behind] {
        browser.connect();
        assert_eq!(browser.told(), [""; 0]);
    }
}

/// A node that reads the end of the new epoch first learns from a reader where it stood, and the history has the rest.
#[test]
fn a_log_that_starts_over_further_on_sends_its_readers_to_history() {
    let (hub, broker) = far_hub(100);
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 1..=3);
    browser.read();
    broker.lag();
    broker.restart("sse", 0);
    publish_numbers(&hub, "sse", 4..=9);
    broker.miss_all("sse");
    assert_eq!(browser.told(), restarted(numbers("sse", 4..=9)));
}

/// After a log starts over before its readers' positions, the events that follow those are still to come.
#[test]
fn a_log_that_starts_over_further_back_makes_its_readers_wait() {
    let (hub, broker) = far_hub(100);
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 1..=5);
    browser.read();
    broker.restart("sse", 0);
    broker.lag();
    let sixth = publish(&hub, "sse", "sse6");
    let at = |offset| Position { offset, ..sixth };
    let head = Head::new(at(2)).with_lineage(broker.server.head(&name("sse")).lineage);
    broker.deliveries().open_at(&name("sse"), &head);
    assert_eq!(browser.told(), [""; 0]);
    for offset in 3..=5 {
        let event = Event::text(format!("sse{offset}"));
        drop(broker.deliveries().append_at(&name("sse"), at(offset), &EncodedEvent::new(&event)));
    }
    assert_eq!(browser.told(), ["sse restarted"]);
    broker.deliver_all("sse");
    assert_eq!(browser.told(), ["sse6"]);
}

#[test]
fn a_channel_that_the_server_has_lost_starts_from_nothing() {
    let (hub, broker) = far_hub(100);
    let mut browser = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 1..=3);
    browser.read();
    broker.deliveries().open_at(&name("sse"), &Head::new(Position::START));
    let messages = browser.read();
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["sse restarted"]);
    assert_eq!(messages[0].last_event_id, "0.0");
}

#[test]
fn the_first_block_gives_back_the_clients_id_before_a_reset() {
    let (hub, broker) = far_hub(2);
    let _reader = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "sse1");
    broker.restart("sse", 0);
    publish_numbers(&hub, "sse", 2..=9);
    let mut subscription = hub.subscribe(["sse"], Start::After(first.to_string().into())).unwrap();
    let block = default_with!(FirstBlock { open_event: true });
    let block = subscription.first_block(block);
    // And no opening event, because the reset takes its place.
    assert_eq!(block, format!(": tidecast\nretry: 3000\nid: {first}\n\n"));
    assert_eq!(subscription.cursor().positions(), [first]);
}

/// A reader of a channel without events stands at `0.0`, which is a position in every epoch. When the server was replaced by
/// one that lacked the newest events, a reader that had read none got the rest as if that were all. It happened to one reader
/// in a few when Redis failed over. A reader that returned with `0.0` was not told either.
#[test]
fn a_reader_before_the_first_event_is_told_of_a_later_epoch_too() {
    let (hub, broker) = far_hub(100);
    let mut reader = Browser::connected(&hub, &["sse"]);
    publish_numbers(&hub, "sse", 1..=5);
    broker.restart("sse", 2);
    publish(&hub, "sse", "sse4 anew");
    let expected = restarted([numbers("sse", 1..=3), vec!["sse4 anew".to_owned()]].concat());
    assert_eq!(reader.told(), expected);
    assert_eq!(told_after(&hub, Position::START).0, expected);
}

/// A reader of a silent channel was told `0.0`. It lost in silence events that were published and then deleted, dropped or
/// expired before it returned.
#[test]
fn a_silent_channel_has_the_origin_that_its_broker_names() {
    let (hub, broker) = far_hub(2);
    broker.open_late();
    let [origin, later, epoch] = [(); 3].map(|()| Epoch::random());
    let at = |epoch, offset| Position { epoch, offset };
    let open = |head, origin| broker.deliveries().open_at(&name("sse"), &Head::new(head).with_origin(origin));
    let mut reader = Browser::connected(&hub, &["sse"]);
    open(at(origin, 0), origin);
    broker.deliveries().go_live(&name("sse"));
    assert_eq!(reader.told(), [""; 0]);
    assert_eq!(reader.last_event_id, at(origin, 0).to_string());

    // The first event has another epoch, and nothing has started over.
    let put = |offset| {
        let event = Event::text(format!("sse{offset}"));
        drop(broker.deliveries().append_at(&name("sse"), at(epoch, offset), &EncodedEvent::new(&event)));
    };
    put(1);
    put(2);
    assert_eq!(reader.told(), numbers("sse", 1..=2));
    assert_eq!(told_after(&hub, at(origin, 0)), (numbers("sse", 1..=2), None));
    assert_eq!(told_after(&hub, at(epoch, 0)), (numbers("sse", 1..=2), None));
    assert_eq!(told_after(&hub, Position::START), (restarted(numbers("sse", 1..=2)), Some(at(epoch, 0))));

    // A node that was away hears of the origin and of where the channel stands at once.
    open(at(epoch, 2), origin);
    assert_eq!(told_after(&hub, at(origin, 0)), (numbers("sse", 1..=2), None));
    // Events may have been lost since the origin was told: the broker names another.
    open(at(epoch, 2), later);
    assert_eq!(told_after(&hub, at(origin, 0)).0[0], "sse restarted");
    assert_eq!(told_after(&hub, at(later, 0)), (numbers("sse", 1..=2), None));
    // The channel was deleted, so it is silent again.
    open(at(later, 0), later);
    assert_eq!(reader.told(), ["sse restarted"]);
    assert_eq!(told_after(&hub, at(origin, 0)), (restarted(Vec::new()), Some(at(later, 0))));
}

/// The events after the origin may have left the log. The history still has them.
#[test]
fn events_after_an_origin_are_read_from_the_history() {
    let (hub, broker) = far_hub(2);
    broker.open_late();
    let origin = Epoch::random();
    let start = Position { epoch: origin, offset: 0 };
    let _reader = Browser::connected(&hub, &["sse"]);
    broker.deliveries().open_at(&name("sse"), &Head::new(start).with_origin(origin));
    broker.deliveries().go_live(&name("sse"));
    publish_numbers(&hub, "sse", 1..=5);
    let head = broker.server.head(&name("sse")).position;
    for offset in 1..=5 {
        let event = Event::text(format!("sse{offset}"));
        drop(broker.deliveries().append_at(&name("sse"), Position { offset, ..head }, &EncodedEvent::new(&event)));
    }
    assert_eq!(told_after(&hub, start), (numbers("sse", 1..=5), None));
}
