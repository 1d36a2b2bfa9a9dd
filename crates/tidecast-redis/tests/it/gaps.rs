//! Gaps and apparent gaps: large events, no history, and pub/sub connections that deliver nothing.

use std::time::Duration;

use tidecast_redis::RedisConfig;
use tidecast_test::redis::RedisServer;
use tokio::time::sleep;

use crate::node::{Node, next_data, quick, until};

/// More than a page of the history and than the bytes that are held back for one channel.
#[tokio::test]
async fn events_of_a_megabyte_are_filled_in() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut reader = one.subscribe("sse").await;
    let megabyte = "x".repeat(1024 * 1024 - 1);
    for round in 0..3 {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("an answer");
        for number in 0..6 {
            other.publish("sse", format!("{number}{megabyte}")).await;
        }
        for number in 0..6 {
            let data = next_data(&mut reader).await;
            assert_eq!((data.len(), &data[..1]), (1024 * 1024, number.to_string().as_str()), "in round {round}");
        }
    }
}

/// The first event of a channel is looked up in the history. Without a history it was dropped as lost although it had
/// arrived.
#[tokio::test]
async fn without_a_history_the_first_event_of_a_channel_arrives_too() {
    let server = RedisServer::start(&[]);
    for (number, compat) in [true, false].into_iter().enumerate() {
        let config = quick(&server.url()).history_events_max(0).compat(compat);
        let (one, other) = (Node::new(config.clone()), Node::new(config));
        let channel = format!("channel {number}");
        let mut readers = [one.subscribe(&channel).await, other.subscribe(&channel).await];
        for data in ["first", "second", "third"] {
            one.publish(&channel, data).await;
        }
        for reader in &mut readers {
            for data in ["first", "second", "third"] {
                assert_eq!(next_data(reader).await, data);
            }
        }
    }
}

/// Events are in the history and never arrive, as if the connection led to another server.
#[tokio::test]
async fn a_connection_that_delivers_nothing_is_found() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    node.publish("sse", "heard").await;
    assert_eq!(next_data(&mut reader).await, "heard");
    let unheard = r#"
        local offset = redis.call('HINCRBY', KEYS[1], 'o', 1)
        return redis.call('XADD', KEYS[2], offset .. '-1', 'p', '{"data":"unheard"}')"#;
    let keys = ["tidecast:{sse}:meta", "tidecast:{sse}:events"];
    server.command(&["EVAL", unheard, "2", keys[0], keys[1]]).expect("an answer");
    assert_eq!(next_data(&mut reader).await, "unheard");
    assert_eq!(node.broker.stats().reconnects, 1);
    node.publish("sse", "heard again").await;
    assert_eq!(next_data(&mut reader).await, "heard again");
}

/// Heads are compared all the time, with channels that are busy, silent, or whose counter has expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_working_connection_is_not_suspected() {
    let server = RedisServer::start(&[]);
    let config = || quick(&server.url()).compare_interval(Duration::from_millis(5));
    let (one, other) = (Node::new(config()), Node::new(config()));
    let mut busy = one.subscribe("busy").await;
    let mut expired = one.subscribe("expired").await;
    let _silent = one.subscribe("silent").await;
    other.publish("expired", "before").await;
    assert_eq!(next_data(&mut expired).await, "before");
    server.command(&["DEL", "tidecast:{expired}:meta", "tidecast:{expired}:events"]).expect("an answer");
    for number in 0..1_000 {
        other.publish("busy", number.to_string()).await;
        if number % 100 == 0 {
            one.stall(Duration::from_millis(200));
        }
        // Now and then silent for two comparisons.
        sleep(Duration::from_millis(if number % 20 == 0 { 20 } else { 0 })).await;
    }
    for number in 0..1_000 {
        assert_eq!(next_data(&mut busy).await, number.to_string());
    }
    assert_eq!(other.publish("expired", "after").await, 1);
    assert_eq!(next_data(&mut expired).await, "after", "and no reset, as nothing is missing");
    assert_eq!((one.broker.stats().reconnects, other.broker.stats().reconnects), (0, 0));
}

#[tokio::test]
async fn a_node_without_probes_and_comparisons_receives_events() {
    let server = RedisServer::start(&[]);
    let never = |config: RedisConfig| config.probe_interval(Duration::ZERO).compare_interval(Duration::ZERO);
    let node = Node::new(never(quick(&server.url())));
    let mut reader = node.subscribe("sse").await;
    node.publish("sse", "heard").await;
    assert_eq!(next_data(&mut reader).await, "heard");
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("an answer");
    until(async || node.broker.stats().reconnects == 1 && node.broker.stats().connected).await;
    node.publish("sse", "heard again").await;
    assert_eq!(next_data(&mut reader).await, "heard again");
}
