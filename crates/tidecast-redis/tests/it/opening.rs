//! Channels to which a node is not subscribed yet: a new reader receives everything that is published from then on,
//! however long Redis takes to open the channel.

use std::time::Duration;

use tidecast::{Hub, Start, Subscription};
use tidecast_test::{redis::RedisServer, wait_until};

use crate::node::{Node, next_data, quick};

/// How long a node or the server is stalled, so that events are published meanwhile.
const PAUSE: Duration = Duration::from_millis(150);

async fn all_have(readers: &mut [Subscription], expected: &[&str], case: &str) {
    for reader in readers {
        let mut data = next_data(reader).await;
        // An event from just before may arrive too.
        while !expected.contains(&data.as_str()) {
            assert_eq!(data, "before", "{case}");
            data = next_data(reader).await;
        }
        for (at, expected) in expected.iter().enumerate() {
            if at > 0 {
                data = next_data(reader).await;
            }
            assert_eq!(data, *expected, "{case}");
        }
    }
}

fn readers(hub: &Hub, channel: &str) -> [Subscription; 2] {
    [Start::Live, Start::Last(1)].map(|start| hub.subscribe([channel], start).expect("the hub is open"))
}

/// Each of these events was lost without any sign: the readers began at the position that the channel had when it was
/// open.
#[tokio::test]
async fn events_published_right_after_subscribing_arrive() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    for number in 0..12 {
        for (case, publisher) in [("the same", &one), ("another", &other)] {
            let channel = format!("{case} {number}");
            // Every other channel has an earlier event.
            if number % 2 == 0 {
                other.publish(&channel, "before").await;
            }
            let mut readers = readers(&one.hub, &channel);
            for data in ["first", "second"] {
                publisher.publish(&channel, data).await;
            }
            all_have(&mut readers, &["first", "second"], &channel).await;
        }
    }
}

#[tokio::test]
async fn events_published_while_a_channel_opens_slowly_arrive() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let pause = PAUSE.as_millis().to_string();
    for number in 0..4 {
        for case in ["node", "server"] {
            let channel = format!("{case} {number}");
            other.publish(&channel, "before").await;
            if case == "node" {
                one.stall(PAUSE);
            } else {
                assert_eq!(server.command(&["CLIENT", "PAUSE", &pause]).as_deref(), Some("+OK\r\n"));
            }
            let mut readers = readers(&one.hub, &channel);
            for data in ["first", "second"] {
                other.publish(&channel, data).await;
            }
            all_have(&mut readers, &["first", "second"], &channel).await;
        }
    }
}

/// A reader that opens while its node has no connection to Redis waits, as on a channel that is not open.
#[tokio::test]
async fn events_published_while_a_node_is_disconnected_reach_waiting_readers() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut before = one.subscribe("sse").await;
    for number in 0..4 {
        let number = number.to_string();
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("an answer");
        one.stall(PAUSE);
        let mut late = one.hub.subscribe(["sse"], Start::Live).expect("the hub is open");
        other.publish("sse", number.as_str()).await;
        assert_eq!(next_data(&mut before).await, number);
        // Events of earlier rounds may arrive too.
        while next_data(&mut late).await != number {}
    }
}

/// Without a history a node cannot tell when an event was published, so it delivers those that arrived while the
/// channel was opened.
#[tokio::test]
async fn without_a_history_events_received_while_a_channel_opens_arrive() {
    let server = RedisServer::start(&[]);
    let config = || quick(&server.url()).history_events_max(0);
    let (one, other) = (Node::new(config()), Node::new(config()));
    for number in 0..8 {
        let channel = format!("channel {number}");
        let mut readers = [one.hub.subscribe([channel.as_str()], Start::Live).expect("the hub is open")];
        let is_heard =
            || server.command(&["PUBSUB", "NUMSUB", &channel]).is_some_and(|response| response.ends_with(":1\r\n"));
        assert!(wait_until(is_heard));
        other.publish(&channel, "first").await;
        all_have(&mut readers, &["first"], &channel).await;
    }
}
