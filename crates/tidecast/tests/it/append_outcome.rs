//! The outcome of appending an event at a broker's position, and of moving a log to where the broker stands.

use tidecast::{
    Epoch, Event, Hub, Position,
    broker::{AppendOutcome, Deliveries, EncodedEvent, Head},
};

use crate::{
    far::far_hub,
    support::{Browser, name, publish},
};

/// Appends an event, and returns the outcome in short.
fn put(deliveries: &Deliveries, position: Position) -> String {
    let event = Event::text("x");
    match deliveries.append_at(&name("sse"), position, &EncodedEvent::new(&event)) {
        AppendOutcome::Appended(appended) => format!("appended for {}", appended.receivers),
        AppendOutcome::Duplicate => "duplicate".to_owned(),
        AppendOutcome::Conflict => "conflict".to_owned(),
        AppendOutcome::Gap => "gap".to_owned(),
        AppendOutcome::Closed => "closed".to_owned(),
    }
}

fn put_foreign(deliveries: &Deliveries) -> bool {
    let event = Event::text("old");
    matches!(deliveries.append_foreign(&name("sse"), &EncodedEvent::new(&event)), AppendOutcome::Appended(_))
}

fn head(hub: &Hub) -> Position {
    hub.channel(&name("sse")).expect("the channel is known").head
}

#[test]
fn an_event_is_appended_only_if_it_follows() {
    let (hub, broker) = far_hub(100);
    broker.open_late();
    let deliveries = broker.deliveries();
    let epoch = Epoch::random();
    let at = |offset| Position { epoch, offset };
    assert_eq!(put(deliveries, at(1)), "gap", "the log is not open");
    assert!(!put_foreign(deliveries));
    deliveries.open_at(&name("sse"), &Head::new(at(3)));
    let mut browser = Browser::connected(&hub, &["sse"]);
    broker.deliveries().go_live(&name("sse"));
    for offset in 0..=3 {
        assert_eq!(put(deliveries, at(offset)), "duplicate");
    }
    assert_eq!(put(deliveries, at(5)), "gap");
    assert_eq!(put(deliveries, at(u64::MAX)), "gap");
    assert_eq!(put(deliveries, Position { epoch: Epoch::random(), offset: 4 }), "gap");
    assert_eq!(deliveries.position(&name("sse")), Some(at(3)));
    assert_eq!(put(deliveries, at(4)), "appended for 1");
    assert_eq!(put(deliveries, at(4)), "duplicate");
    assert!(put_foreign(deliveries));
    assert_eq!(put(deliveries, at(5)), "appended for 1");
    assert_eq!(browser.told(), ["x", "old", "x"]);
    assert_eq!(browser.last_event_id, at(5).to_string());
}

#[test]
fn the_first_event_gives_an_unused_channel_its_epoch() {
    let (hub, broker) = far_hub(100);
    let mut browser = Browser::connected(&hub, &["sse"]);
    assert_eq!(browser.told(), [""; 0]);
    assert_eq!(browser.last_event_id, "0.0");
    let deliveries = broker.deliveries();
    let epoch = Epoch::random();
    assert!(put_foreign(deliveries));
    assert_eq!(put(deliveries, Position { epoch, offset: 2 }), "gap", "the first is missing");
    assert_eq!(put(deliveries, Position { epoch, offset: 1 }), "appended for 1");
    assert_eq!(put(deliveries, Position { epoch: Epoch::random(), offset: 1 }), "gap");
    assert_eq!(browser.told(), ["old", "x"]);
    assert_eq!(head(&hub), Position { epoch, offset: 1 });
    // A reader from the start is still at the start.
    browser.last_event_id = "0.0".to_owned();
    browser.connect();
    assert_eq!(browser.told(), ["x"]);
}

#[test]
fn a_log_that_is_ahead_of_the_broker_stays_where_it_is() {
    let (hub, broker) = far_hub(100);
    let mut browser = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "one");
    publish(&hub, "sse", "two");
    broker.deliveries().open_at(&name("sse"), &Head::new(first));
    assert_eq!(browser.told(), ["one", "two"]);
    assert_eq!(head(&hub).offset, 2);
}

/// A broker that heard of another epoch just as the hub was closed dropped events that readers had not been given yet.
#[test]
fn nothing_changes_once_the_hub_is_closed() {
    let (hub, broker) = far_hub(100);
    let mut browser = Browser::connected(&hub, &["sse"]);
    let first = publish(&hub, "sse", "last");
    hub.close();
    let deliveries = broker.deliveries();
    deliveries.open_at(&name("sse"), &Head::new(Position { epoch: Epoch::random(), offset: 9 }));
    deliveries.open_at(&name("sse"), &Head::new(Position { offset: 9, ..first }));
    assert_eq!(put(deliveries, Position { offset: 2, ..first }), "closed");
    assert!(!put_foreign(deliveries));
    assert_eq!(browser.told(), ["last"]);
}

#[test]
fn without_a_hub_calls_have_no_effect() {
    let (hub, broker) = far_hub(100);
    drop(hub);
    let deliveries = broker.deliveries();
    let at = Position { epoch: Epoch::random(), offset: 1 };
    deliveries.open_at(&name("sse"), &Head::new(at));
    deliveries.go_live(&name("sse"));
    deliveries.suspend(&name("sse"));
    assert_eq!(put(deliveries, at), "closed");
    assert!(deliveries.suspend_if_unread(&name("sse")));
    assert_eq!((deliveries.position(&name("sse")), deliveries.readers(&name("sse"))), (None, 0));
}
