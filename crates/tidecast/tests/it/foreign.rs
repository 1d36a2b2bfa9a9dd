//! Events that were published past Tidecast: present readers get them in their place and without an id, later ones don't.

use std::sync::Arc;

use tidecast::{
    Delivery, Event, Hub, Position, Start,
    broker::{Head, Since},
};

use crate::{
    far::{Answers, FarBroker, far_hub},
    support::{Browser, name, numbers, publish, publish_numbers, ready_bytes, ready_next, told},
};

fn hub_with_reader(log_events_max: usize) -> (Hub, Arc<FarBroker>, Browser) {
    let (hub, broker) = far_hub(log_events_max);
    let reader = Browser::connected(&hub, &["sse"]);
    (hub, broker, reader)
}

#[test]
fn present_readers_get_them_in_their_place_without_an_id() {
    let (hub, broker) = far_hub(100);
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    assert_eq!(ready_bytes(&mut subscription, 1000), b"id: 0.0\n\n");
    broker.send_foreign("sse", "old1");
    let first = publish(&hub, "sse", "sse1");
    broker.send_foreign("sse", "old2");
    let bytes = String::from_utf8(ready_bytes(&mut subscription, 1000)).unwrap();
    assert_eq!(bytes, format!("data: old1\n\ndata: sse1\nid: {first}\n\ndata: old2\n\n"));
}

#[test]
fn on_several_channels_they_have_no_id_either() {
    let (hub, broker) = far_hub(100);
    let mut subscription = hub.subscribe(["a", "b"], Start::Live).unwrap();
    ready_bytes(&mut subscription, 1000);
    let first = publish(&hub, "a", "a1");
    broker.send_foreign("a", "old");
    let bytes = String::from_utf8(ready_bytes(&mut subscription, 1000)).unwrap();
    assert_eq!(bytes, format!("data: a1\nid: {first},0.0\n\ndata: old\n\n"));
}

#[test]
fn a_program_gets_them_with_the_cursor_of_the_event_before() {
    let (hub, broker) = far_hub(100);
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    let first = publish(&hub, "sse", "sse1");
    broker.send_foreign("sse", "old");
    assert!(ready_next(&mut subscription).is_some());
    let Some(Delivery::Event(delivered)) = ready_next(&mut subscription) else { panic!("an event") };
    assert_eq!(delivered.cursor.positions(), [first]);
    assert_eq!(delivered.frame.message().last_event_id, "");
    assert_eq!(delivered.frame.without_id(), "data: old\n");
    assert_eq!(delivered.frame.bytes(), "data: old\n\n");
}

#[test]
fn a_reader_that_resumes_gets_those_from_after_it_came() {
    let (hub, broker, mut reader) = hub_with_reader(100);
    publish(&hub, "sse", "sse1");
    assert_eq!(reader.told(), ["sse1"]);
    reader.cut();
    let _other = Browser::connected(&hub, &["sse"]);
    broker.send_foreign("sse", "before");
    publish(&hub, "sse", "sse2");
    broker.send_foreign("sse", "before");
    reader.connect();
    broker.send_foreign("sse", "after");
    publish(&hub, "sse", "sse3");
    assert_eq!(reader.told(), ["sse2", "after", "sse3"]);
}

#[test]
fn last_does_not_count_or_deliver_them() {
    let (hub, broker, mut reader) = hub_with_reader(100);
    for number in 1..=5 {
        publish(&hub, "sse", &format!("sse{number}"));
        broker.send_foreign("sse", "before");
    }
    reader.connect_from(Start::Last(3));
    broker.send_foreign("sse", "after");
    assert_eq!(reader.told(), [numbers("sse", 3..=5), vec!["after".to_owned()]].concat());
}

#[test]
fn the_history_does_not_have_them() {
    let (hub, broker, _reader) = hub_with_reader(100);
    for number in 1..=3 {
        publish(&hub, "sse", &format!("sse{number}"));
        broker.send_foreign("sse", "old");
        broker.send_foreign("sse", "old");
    }
    let past = |since, limit| -> Vec<String> {
        let history = broker.deliveries().past(&name("sse"), since, limit);
        assert!(history.complete);
        history.events.iter().map(|event| event.data().into_owned()).collect()
    };
    assert_eq!(past(Since::Newest, 2), numbers("sse", 2..=3));
    assert_eq!(past(Since::Newest, 9), numbers("sse", 1..=3));
    let first = Position { offset: 1, ..hub.channel(&name("sse")).unwrap().head };
    assert_eq!(past(Since::After(first), 1), numbers("sse", 2..=2));
}

#[test]
fn a_reader_that_backfills_gets_those_that_come_meanwhile() {
    let (hub, broker, mut reader) = hub_with_reader(4);
    let first = publish(&hub, "sse", "sse1");
    publish_numbers(&hub, "sse", 2..=9);
    broker.answer(Answers::Late);
    reader.connect_from(Start::After(first.to_string().into()));
    assert_eq!(reader.told(), [""; 0]);
    broker.send_foreign("sse", "meanwhile");
    publish(&hub, "sse", "sse10");
    broker.answer(Answers::AtOnce);
    assert_eq!(reader.told(), [numbers("sse", 2..=9), vec!["meanwhile".to_owned(), "sse10".to_owned()]].concat());
    assert_eq!(hub.stats().resets_expired + hub.stats().resets_too_slow, 0);
}

#[test]
fn a_slow_reader_gets_them_while_the_log_has_them() {
    let (hub, broker, mut reader) = hub_with_reader(3);
    publish_numbers(&hub, "sse", 1..=5);
    broker.send_foreign("sse", "old");
    publish(&hub, "sse", "sse6");
    assert_eq!(reader.told(), [numbers("sse", 1..=5), vec!["old".to_owned(), "sse6".to_owned()]].concat());
    assert_eq!(hub.stats().resets_too_slow, 0);
}

#[test]
fn one_that_left_the_log_unread_is_a_reset_and_no_other_event_is_lost() {
    let (hub, broker, mut reader) = hub_with_reader(3);
    publish(&hub, "sse", "sse1");
    broker.send_foreign("sse", "lost");
    publish_numbers(&hub, "sse", 2..=5);
    let told = reader.told();
    assert_eq!(told, [vec!["sse too-slow".to_owned()], numbers("sse", 1..=5)].concat());
    assert_eq!(hub.stats().resets_too_slow, 1);
    // It is reported once.
    publish_numbers(&hub, "sse", 6..=15);
    assert_eq!(reader.told(), numbers("sse", 6..=15));
}

#[test]
fn one_that_was_read_before_it_left_the_log_is_no_reset() {
    let (hub, broker, mut reader) = hub_with_reader(3);
    broker.send_foreign("sse", "old");
    assert_eq!(reader.told(), ["old"]);
    publish_numbers(&hub, "sse", 1..=9);
    assert_eq!(reader.told(), numbers("sse", 1..=9));
    broker.send_foreign("sse", "before");
    reader.connect();
    publish_numbers(&hub, "sse", 10..=19);
    assert_eq!(reader.told(), numbers("sse", 10..=19));
    assert_eq!(hub.stats().resets_too_slow, 0);
}

/// After a backfill the reader looked for its place in the log again and continued there. Foreign events that had come
/// meanwhile, and had left the log again, were missing in silence.
#[test]
fn one_that_left_the_log_during_a_backfill_is_a_reset() {
    for slow in [false, true] {
        let (hub, broker, mut reader) = hub_with_reader(3);
        let first = publish(&hub, "sse", "sse1");
        assert_eq!(reader.told(), ["sse1"]);
        broker.answer(Answers::Late);
        publish_numbers(&hub, "sse", 2..=9);
        if !slow {
            reader.connect_from(Start::After(first.to_string().into()));
        }
        assert_eq!(reader.told(), [""; 0]);
        broker.send_foreign("sse", "lost");
        publish_numbers(&hub, "sse", 10..=12);
        broker.answer(Answers::AtOnce);
        let told = reader.told();
        let expected = [numbers("sse", 2..=9), vec!["sse too-slow".to_owned()], numbers("sse", 10..=12)];
        assert_eq!(told, expected.concat(), "{slow}");
    }
}

/// A server that returns with the epoch that the node had known before loses no event with a position. But unread foreign
/// events went with the log.
#[test]
fn one_that_went_with_a_log_that_started_over_is_a_reset() {
    let (hub, broker, mut reader) = hub_with_reader(10);
    let first = publish(&hub, "sse", "sse1");
    assert_eq!(reader.told(), ["sse1"]);
    broker.send_foreign("sse", "lost");
    broker.deliveries().open_at(&name("sse"), &Head::new(Position::START));
    broker.deliveries().open_at(&name("sse"), &Head::new(first));
    assert_eq!(reader.told(), ["sse restarted"]);
    publish(&hub, "sse", "sse2");
    assert_eq!(reader.told(), ["sse2"]);
}

#[test]
fn foreign_events_alone_are_limited_like_others() {
    let (hub, broker, mut reader) = hub_with_reader(3);
    for number in 0..9 {
        broker.send_foreign("sse", &number.to_string());
    }
    let told = reader.read().iter().map(told).collect::<Vec<_>>();
    assert_eq!(told, ["sse too-slow", "6", "7", "8"]);
    assert_eq!(hub.stats().log_events, 3);
    let event = Event::text("x");
    assert!(hub.publish_now("sse", event).is_ok());
    assert_eq!(reader.told(), ["x"]);
}
