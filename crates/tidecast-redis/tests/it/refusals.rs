//! Channels that Redis will not let be heard, or that can't be read: the others are none the worse for it.

use tidecast::{Start, Subscription, wire::FirstBlock};
use tidecast_test::redis::RedisServer;

use crate::node::{Node, next_data, until};

fn is_open(subscription: &mut Subscription) -> bool {
    subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:")
}

/// Anybody may name a channel. One that the hub's user may not listen to once had the whole connection given up and
/// begun again, for ever: nobody heard anything.
#[tokio::test]
async fn a_channel_that_may_not_be_listened_to_deafens_no_other() {
    let server = RedisServer::start(&[]);
    let acl = ["ACL", "SETUSER", "default", "resetchannels", "&tidecast:*", "&may*"];
    assert_eq!(server.command(&acl).as_deref(), Some("+OK\r\n"));
    let node = Node::on(&server);
    // Some before it is connected, so that they go out in one command, and some after.
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

/// What could not be filled kept its place among the few that are filled at once: with enough of them no other channel
/// was ever live.
#[tokio::test]
async fn channels_that_can_not_be_read_hold_up_no_other() {
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
    // They are tried again, and live as soon as they can be.
    let mend = "for i = 1, 400 do redis.call('DEL', 'tidecast:{bad' .. i .. '}:meta') end";
    server.command(&["EVAL", mend, "0"]).expect("an answer");
    until(async || waiting.iter_mut().all(is_open)).await;
    assert_eq!(node.broker.stats().reconnects, 0);
}
