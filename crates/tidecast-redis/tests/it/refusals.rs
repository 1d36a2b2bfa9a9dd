//! Channels to which Redis refuses a subscription, or that cannot be read, do not affect others.

use tidecast::{Start, Subscription, wire::FirstBlock};
use tidecast_test::redis::RedisServer;

use crate::node::{Node, next_data, until};

fn is_open(subscription: &mut Subscription) -> bool {
    subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:")
}

/// Any client may name a channel. One to which the hub's user may not subscribe made the hub close and reopen the
/// connection for ever, so that no channel received anything.
#[tokio::test]
async fn a_channel_with_a_refused_subscription_does_not_affect_others() {
    let server = RedisServer::start(&[]);
    let acl = ["ACL", "SETUSER", "default", "resetchannels", "&tidecast:*", "&may*"];
    assert_eq!(server.command(&acl).as_deref(), Some("+OK\r\n"));
    let node = Node::on(&server);
    // Some subscribe before the connection is open, so that they are in one command, and some after.
    let names: Vec<_> = (0..40).map(|number| format!("{} {number}", ["may", "never"][number % 2])).collect();
    let (before, after) = names.split_at(20);
    let subscribe = |name: &String| node.hub.subscribe([name.as_str()], Start::Live).expect("the hub is open");
    let mut readers: Vec<_> = before.iter().map(subscribe).collect();
    until(async || node.broker.stats().connected).await;
    readers.extend(after.iter().map(subscribe));
    for (name, reader) in names.iter().zip(&mut readers).filter(|(name, _)| name.starts_with("may")) {
        until(async || is_open(reader)).await;
        node.publish(name, "heard").await;
        assert_eq!(next_data(reader).await, "heard");
    }
    let mut refused = names.iter().zip(&mut readers).filter(|(name, _)| name.starts_with("never"));
    assert!(refused.all(|(_, reader)| !is_open(reader)), "they wait");
    assert_eq!(node.broker.stats().reconnects, 0);
}

/// A channel whose backfill failed kept its slot among the few that run at once: with enough of them no other channel
/// ever became live.
#[tokio::test]
async fn channels_that_cannot_be_read_do_not_delay_others() {
    let server = RedisServer::start(&[]);
    let spoil = "for i = 1, 400 do redis.call('SET', 'tidecast:{bad' .. i .. '}:meta', 'no hash') end";
    server.command(&["EVAL", spoil, "0"]).expect("an answer");
    let node = Node::on(&server);
    let bad: Vec<_> = (1..=400).map(|number| format!("bad{number}")).collect();
    let subscribe = |name: &String| node.hub.subscribe([name.as_str()], Start::Live).expect("the hub is open");
    let mut waiting: Vec<_> = bad.iter().map(subscribe).collect();
    until(async || node.broker.stats().connected).await;
    let mut reader = node.subscribe("sse").await;
    node.publish("sse", "heard").await;
    assert_eq!(next_data(&mut reader).await, "heard");
    assert!(waiting.iter_mut().all(|reader| !is_open(reader)));
    // Their backfills are tried again and succeed as soon as they can.
    let mend = "for i = 1, 400 do redis.call('DEL', 'tidecast:{bad' .. i .. '}:meta') end";
    server.command(&["EVAL", mend, "0"]).expect("an answer");
    until(async || waiting.iter_mut().all(is_open)).await;
    assert_eq!(node.broker.stats().reconnects, 0);
}
