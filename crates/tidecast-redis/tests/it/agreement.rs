//! Two nodes agree on deleted channels, used idempotency keys and publishers' ids.

use tidecast::{Channel, Delivery, Event, IdempotencyKey, Publication, ResetReason, Start};
use tidecast_redis::PlainFormat;
use tidecast_test::redis::RedisServer;

use crate::node::{Node, next, next_data, quick};

#[tokio::test]
async fn a_deleted_channel_starts_over_for_the_readers_of_both_nodes() {
    let server = RedisServer::start(&[]);
    for (number, compat) in [true, false].into_iter().enumerate() {
        let config = quick(&server.url()).compat(compat);
        let (one, other) = (Node::new(config.clone()), Node::new(config));
        let name = format!("channel {number}");
        let mut readers = [one.subscribe(&name).await, other.subscribe(&name).await];
        for round in 0..20 {
            // The first time, there is nothing to delete.
            one.publish(&name, "before").await;
            for reader in &mut readers {
                assert_eq!(next_data(reader).await, "before", "in round {round}");
            }
            let cursor = readers[0].cursor().to_string();
            assert!(other.hub.forget(&Channel::new(&name).expect("a name")).await.expect("redis answers"));
            for reader in &mut readers {
                let Delivery::Reset(reset) = next(reader).await else { panic!("a reset") };
                assert_eq!((reset.reason, reset.resumed_at.offset), (ResetReason::Restarted, 0), "in round {round}");
            }
            // A client that reconnects gets the same reset at either node.
            for node in [&one, &other] {
                let start = Start::After(cursor.clone().into());
                let mut back = node.hub.subscribe([name.as_str()], start).expect("the hub is open");
                let Delivery::Reset(reset) = next(&mut back).await else { panic!("a reset") };
                assert_eq!(reset.reason, ResetReason::Restarted);
            }
        }
    }
}

/// Both nodes delete and publish at the same time: every reader receives the last event, and no reset is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_while_others_publish_ends_in_agreement() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut readers = [one.subscribe("sse").await, other.subscribe("sse").await];
    let publishing = async {
        for number in 0..300 {
            one.publish("sse", number.to_string()).await;
        }
    };
    let deleting = async {
        for _ in 0..50 {
            other.hub.forget(&Channel::default()).await.expect("redis answers");
        }
    };
    tokio::join!(publishing, deleting);
    let last = one.hub.publish("sse", Event::text("last")).await.expect("it is published").position;
    for reader in &mut readers {
        let mut at = None;
        loop {
            match next(reader).await {
                Delivery::Reset(reset) => at = Some(reset.resumed_at),
                Delivery::Event(delivered) => {
                    let position = delivered.cursor.positions()[0];
                    if let Some(at) = at.filter(|at| at.epoch == position.epoch) {
                        assert_eq!(position.offset, at.offset + 1, "no hole without a reset");
                    }
                    at = Some(position);
                    if delivered.frame.message().data == "last" {
                        break;
                    }
                }
            }
        }
        assert_eq!(at, Some(last));
    }
}

#[tokio::test]
async fn a_key_that_was_used_at_one_node_counts_at_the_other() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let _reader = one.subscribe("sse").await;
    let key = || IdempotencyKey::new("order {17}: é").expect("a key");
    let publication = |data: &str, id: &str| {
        let event = Event::text(data).with_id(id).expect("an id");
        Publication::new("sse", event).expect("a channel").with_idempotency_key(key())
    };
    let first = one.hub.publish_publication(publication("x", "an id with spaces é")).await.expect("it is published");
    assert_eq!((first.receivers, first.repeated), (1, false));
    let again = other.hub.publish_publication(publication("y", "another")).await.expect("it is answered");
    assert!(again.repeated);
    assert_eq!((again.id, again.position, again.receivers), (first.id, first.position, first.receivers));
}

/// An array has no member for an id: nodes look it up in the history, and omit it if there is none.
#[tokio::test]
async fn ids_arrive_with_arrays_too() {
    let server = RedisServer::start(&[]);
    for (number, (compat, history)) in [(true, 100), (false, 100), (true, 0), (false, 0)].into_iter().enumerate() {
        let config = quick(&server.url()).plain_format(PlainFormat::Array).compat(compat).history_events_max(history);
        let (one, other) = (Node::new(config.clone()), Node::new(config));
        let channel = format!("channel {number}");
        let mut reader = other.subscribe(&channel).await;
        for number in 0..50 {
            let event = Event::text("x").with_id(format!("id {number}")).expect("an id");
            let published = one.hub.publish(channel.as_str(), event).await.expect("it is published");
            let Delivery::Event(delivered) = next(&mut reader).await else { panic!("an event") };
            let expected = if history > 0 { format!("id {number}") } else { published.position.to_string() };
            assert_eq!(delivered.frame.message().last_event_id, expected);
        }
    }
}
