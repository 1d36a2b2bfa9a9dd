//! Foreign events with the trailer of another event's position. The history decides which is genuine.
//!
//! Such an event replaced the genuine one for every reader without any sign.

use tidecast::{Delivery, Event, ResetReason, Start, Subscription};
use tidecast_test::redis::RedisServer;

use crate::node::{Node, next, next_data, quick, until};

/// Returns the white space that encodes a position after an event.
fn trailer(position: &str) -> String {
    let (epoch, offset) = position.split_once('.').expect("a position");
    let offset: u64 = offset.parse().expect("an offset");
    let white = |digit: u32| [digit >> 2, digit & 3].map(|bits| [' ', '\t', '\n', '\r'][bits as usize]);
    let digits = format!("2{epoch}{offset:014x}");
    digits.chars().flat_map(|digit| white(digit.to_digit(16).expect("a hex digit"))).collect()
}

fn forge(server: &RedisServer, position: &str, data: &str) {
    let payload = format!("{{\"data\":\"{data}\"}}{}", trailer(position));
    server.command(&["PUBLISH", "sse", &payload]).expect("an answer");
}

/// Returns the position that is this many events after the reader's.
fn after(reader: &Subscription, events: u64) -> String {
    let here = reader.cursor().positions()[0];
    let text = here.to_string();
    format!("{}.{}", &text[..12], here.offset + events)
}

async fn data_or_reason(reader: &mut Subscription) -> String {
    match next(reader).await {
        Delivery::Event(delivered) => delivered.frame.message().data,
        Delivery::Reset(reset) => {
            assert_eq!(reset.reason, ResetReason::Restarted);
            format!("reset to {}", reset.resumed_at.offset)
        }
    }
}

#[tokio::test]
async fn a_forged_next_event_is_replaced_and_readers_are_told() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut readers = [one.subscribe("sse").await, other.subscribe("sse").await];
    one.publish("sse", "one").await;
    for reader in &mut readers {
        assert_eq!(next_data(reader).await, "one");
    }
    forge(&server, &after(&readers[0], 1), "forged");
    for reader in &mut readers {
        assert_eq!(next_data(reader).await, "forged");
    }
    for data in ["two", "three"] {
        one.publish("sse", data).await;
    }
    for reader in &mut readers {
        let mut came = Vec::new();
        for _ in 0..3 {
            came.push(data_or_reason(reader).await);
        }
        assert_eq!(came, ["reset to 1", "two", "three"]);
    }
    assert_eq!(one.broker.stats().conflicting, 1);
    // A later reader receives nothing of it.
    let mut late = other.hub.subscribe(["sse"], Start::Last(10)).expect("the hub is open");
    for data in ["one", "two", "three"] {
        assert_eq!(next_data(&mut late).await, data);
    }
}

#[tokio::test]
async fn a_forged_later_event_displaces_none() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    node.publish("sse", "1").await;
    assert_eq!(next_data(&mut reader).await, "1");
    for round in 0..20 {
        let first = 2 + round * 5;
        // At once, so that it may be held back during a backfill.
        forge(&server, &after(&reader, 3), "forged");
        for number in first..first + 5 {
            node.publish("sse", number.to_string()).await;
        }
        for number in first..first + 5 {
            assert_eq!(next_data(&mut reader).await, number.to_string());
        }
    }
}

#[tokio::test]
async fn a_forged_earlier_event_changes_nothing() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    for number in 1..=5 {
        node.publish("sse", number.to_string()).await;
        assert_eq!(next_data(&mut reader).await, number.to_string());
    }
    let third = after(&reader, 0).replace(".5", ".3");
    forge(&server, &third, "forged");
    until(async || node.broker.stats().conflicting == 1).await;
    // The same event again is a duplicate.
    forge(&server, &third, "3");
    node.publish("sse", "6").await;
    assert_eq!(next_data(&mut reader).await, "6");
    assert_eq!(node.broker.stats().conflicting, 1);
}

/// Without a history no node can tell which of the two is genuine, so readers are told.
#[tokio::test]
async fn without_a_history_readers_are_told_of_a_conflict() {
    let server = RedisServer::start(&[]);
    let node = Node::new(quick(&server.url()).history_events_max(0));
    let mut reader = node.subscribe("sse").await;
    node.publish("sse", "one").await;
    assert_eq!(next_data(&mut reader).await, "one");
    forge(&server, &after(&reader, 1), "forged");
    assert_eq!(next_data(&mut reader).await, "forged");
    node.hub.publish("sse", Event::text("two")).await.expect("it is published");
    assert!(data_or_reason(&mut reader).await.starts_with("reset"));
    node.publish("sse", "three").await;
    assert_eq!(next_data(&mut reader).await, "three");
}
