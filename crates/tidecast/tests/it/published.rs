//! Events that a program gets back: with every field that was published, even those that the wire does not show.

use serde_json::value::RawValue;
use tidecast::{Delivery, Event, Hub, Start, broker::History};

use crate::{
    far::far_hub,
    support::{name, now, ready_next},
};

/// Returns two events that are `17` on the wire.
fn number_and_text() -> [Event; 2] {
    let raw = RawValue::from_string("17".to_owned()).expect("it is JSON");
    [Event::raw_json(raw), Event::text("17")]
}

fn are_json(history: &History) -> Vec<bool> {
    history.events.iter().map(|past| past.event.data_json().is_some()).collect()
}

/// A program that must load JSON and pass text on, as Flask-SSE does, can't tell them apart by the bytes.
#[test]
fn a_value_and_a_text_of_the_same_bytes_are_told_apart() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe(["sse"], Start::Live).unwrap();
    for event in number_and_text() {
        hub.publish_now("sse", event).unwrap();
    }
    for is_json in [true, false] {
        let Some(Delivery::Event(delivered)) = ready_next(&mut subscription) else { panic!("an event") };
        let event = delivered.event();
        assert_eq!((event.data(), event.data_json().is_some()), ("17", is_json));
    }
    assert_eq!(are_json(&now(hub.newest(&name("sse"), 10)).unwrap()), [true, false]);
}

/// A page of a broker's history is encoded anew for each reader.
#[test]
fn a_page_of_the_brokers_history_tells_them_apart_too() {
    let (hub, _broker) = far_hub(1);
    let start = now(hub.publish("sse", Event::text("first"))).unwrap().position;
    for event in number_and_text().into_iter().chain([Event::text("last")]) {
        now(hub.publish("sse", event)).unwrap();
    }
    let mut subscription = hub.subscribe(["sse"], Start::After(start.to_string().into())).unwrap();
    let mut are_json = Vec::new();
    while let Some(Delivery::Event(delivered)) = ready_next(&mut subscription) {
        are_json.push(delivered.event().data_json().is_some());
    }
    assert_eq!(are_json, [true, false, false]);
}

#[test]
fn an_event_returns_with_its_own_id_and_without_one_that_is_its_position() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe(["a", "b"], Start::Live).unwrap();
    hub.publish_now("b", Event::text("one").with_type("greeting").unwrap()).unwrap();
    hub.publish_now("b", Event::text("two").with_id("own").unwrap()).unwrap();
    let Some(Delivery::Event(one)) = ready_next(&mut subscription) else { panic!("an event") };
    let Some(Delivery::Event(two)) = ready_next(&mut subscription) else { panic!("an event") };
    assert!(one.event().id().is_none());
    assert_eq!(one.event().event_type().unwrap().as_str(), "greeting");
    assert_eq!(one.position, one.cursor.positions()[1]);
    assert_eq!(two.event().id().unwrap().as_str(), "own");
}
