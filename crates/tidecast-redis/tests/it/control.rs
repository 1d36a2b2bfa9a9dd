//! Control messages between nodes. The conformance suite checks that they reach every node, on every kind of Redis.

use std::time::Duration;

use tidecast::{Channel, broker::Broker};
use tidecast_test::redis::RedisServer;

use crate::node::{Node, next_data, quick, until};

/// A node that was no longer subscribed kept the events of a deleted channel and listed the channel until they expired.
#[tokio::test]
async fn a_node_without_readers_drops_the_log_of_a_deleted_channel() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut reader = other.subscribe("sse").await;
    one.publish("sse", "secret").await;
    assert_eq!(next_data(&mut reader).await, "secret");
    drop(reader);
    until(async || {
        other.hub.sweep();
        server.command(&["PUBSUB", "CHANNELS"]).is_some_and(|listed| listed.starts_with("*0\r\n"))
    })
    .await;
    let channel = Channel::default();
    assert_eq!(other.hub.channel(&channel).map(|known| known.events), Some(1));
    assert!(one.hub.forget(&channel).await.expect("redis answers"));
    until(async || other.hub.channel(&channel).is_none()).await;
}

/// A message of another program, or of a newer node, changes nothing.
#[tokio::test]
async fn unknown_control_messages_are_ignored() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    let forged = ["\u{1}", "\u{1}newer sse", "\u{1}forgotten", "\u{1}forgotten sse", "", &"x".repeat(100_000)];
    for payload in forged {
        let sent = server.command(&["PUBLISH", "tidecast:0:control\u{1}", payload]);
        assert_eq!(sent.expect("an answer"), ":1\r\n");
    }
    node.publish("sse", "x").await;
    assert_eq!(next_data(&mut reader).await, "x");
}

#[tokio::test]
async fn a_control_message_is_refused_while_redis_is_unavailable() {
    let server = RedisServer::start(&[]);
    let node = Node::new(quick(&server.url()).command_timeout(Duration::from_millis(300)));
    node.broker.ready().await.expect("redis is there");
    drop(server);
    let error = node.broker.send_control(b"newer sse").await.expect_err("redis is away");
    assert!(error.is_unavailable(), "{error}");
    node.hub.close();
    let error = node.broker.send_control(b"newer sse").await.expect_err("the broker is closed");
    assert!(error.is_closed(), "{error}");
}
