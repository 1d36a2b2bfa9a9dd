//! Thousands of channels: how soon all are live again, and that channels without readers take nothing.

use std::{sync::Arc, time::Duration};

use tidecast::{Channel, Delivery, Hub, Start, Subscription, clock::ManualClock, wire::FirstBlock};
use tidecast_redis::RedisBroker;
use tidecast_test::{PATIENCE, redis::RedisServer};
use tokio::time::{Instant, sleep, timeout};

use crate::node::{Node, next, next_data, quick, until};

const CHANNELS: usize = 5_000;

/// Returns whether a new reader of a channel is live at once.
fn is_live(hub: &Hub, channel: &str) -> bool {
    let mut subscription = hub.subscribe([channel], Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:")
}

/// Waits until every channel is live.
async fn all_live(hub: &Hub, channels: &[String]) {
    let waiting = async {
        for channel in channels {
            while !is_live(hub, channel) {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(PATIENCE, waiting).await.expect("all are live");
}

/// Returns how often a server has received a command since it started.
fn calls(server: &RedisServer, command: &str) -> usize {
    let stats = server.command(&["INFO", "commandstats"]).expect("an answer");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_all_channels_are_live_again_with_one_lookup_each() {
    let mut server = RedisServer::start(&["--appendonly", "yes"]);
    let node = Node::on(&server);
    let channels: Vec<String> = (0..CHANNELS).map(|number| format!("channel {number}")).collect();
    let began = Instant::now();
    let subscribe = |channel: &String| node.hub.subscribe([channel.as_str()], Start::Live).expect("the hub is open");
    let mut readers: Vec<Subscription> = channels.iter().map(subscribe).collect();
    all_live(&node.hub, &channels).await;
    println!("{CHANNELS} channels are live after {:?}", began.elapsed());
    for reader in &mut readers {
        reader.first_block(FirstBlock::default());
    }

    server.kill();
    until(async || !node.broker.stats().connected).await;
    assert!(channels.iter().all(|channel| !is_live(&node.hub, channel)), "who comes now waits");
    server.run();
    let began = Instant::now();
    all_live(&node.hub, &channels).await;
    println!("{CHANNELS} channels are live again after {:?}", began.elapsed());
    let (fills, subscribes) = (calls(&server, "eval") + calls(&server, "evalsha"), calls(&server, "subscribe"));
    println!("{fills} fills, {subscribes} times SUBSCRIBE");
    assert!(fills < CHANNELS + CHANNELS / 10, "each is asked for once: {fills}");
    assert!(subscribes < 20, "many with each command: {subscribes}");
    // Each channel receives an event.
    let (last, first) = (readers.last_mut().expect("a reader"), channels.last().expect("a channel"));
    node.publish(first, "heard").await;
    assert!(matches!(next(last).await, Delivery::Reset(_)), "the server may have lost something");
    assert_eq!(next_data(last).await, "heard");
}

/// A channel that was released before the subscribe command was sent stayed subscribed as long as the connection was
/// open.
#[tokio::test]
async fn channels_without_readers_are_unsubscribed() {
    let server = RedisServer::start(&[]);
    let clock = Arc::new(ManualClock::default());
    let broker = Arc::new(RedisBroker::new(quick(&server.url())).expect("a configuration"));
    let hub = Hub::builder().broker(broker.clone()).clock(clock.clone()).build();
    until(async || broker.stats().connected).await;
    for round in 0..20 {
        for number in 0..50 {
            // Half of the channels, again and again.
            let name = if number % 2 == 0 { format!("{number}") } else { format!("{round} {number}") };
            drop(hub.subscribe([name.as_str()], Start::Live).expect("the hub is open"));
        }
        clock.advance(Duration::from_secs(2));
        hub.sweep();
        if round % 3 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(broker.stats().subscribed_channels, 0);
    let listened_to = || server.command(&["PUBSUB", "CHANNELS"]).unwrap_or_default();
    until(async || listened_to().starts_with("*0\r\n")).await;
}

/// Programs publish to every name that `PUBSUB CHANNELS` lists, as Flask-SSE's documentation says. The name with which
/// hubs announce deletions was among them and is not a channel. Older hubs still use it.
#[tokio::test]
async fn redis_lists_channels_only() {
    let server = RedisServer::start(&[]);
    // A prefix with all characters that are special in a pattern.
    for prefix in ["tidecast", "a*[b]?^\\"] {
        let config = quick(&server.url()).prefix(prefix).expect("a prefix");
        let (one, other) = (Node::new(config.clone()), Node::new(config));
        let mut reader = one.subscribe("sse").await;
        let listed = server.command(&["PUBSUB", "CHANNELS"]).expect("an answer");
        assert_eq!(listed, "*1\r\n$3\r\nsse\r\n");
        one.publish("sse", "x").await;
        assert_eq!(next_data(&mut reader).await, "x");
        // Deletions still reach hubs that subscribe to the name.
        assert!(other.hub.forget(&Channel::default()).await.expect("redis is there"));
        assert!(matches!(next(&mut reader).await, Delivery::Reset(_)));
        let control = format!("{prefix}:0:control\u{1}");
        assert_eq!(server.command(&["PUBLISH", &control, "sse"]).expect("an answer"), ":2\r\n", "both listen there");
    }
}

/// A user with permission for prefixed names only cannot subscribe to the pattern, so hubs subscribe to the name.
#[tokio::test]
async fn a_user_without_permission_for_the_pattern_receives_deletions() {
    let server = RedisServer::start(&[]);
    let rule = ["ACL", "SETUSER", "hub", "on", ">secret", "~tidecast:*", "resetchannels", "&tidecast:*", "+@all"];
    assert_eq!(server.command(&rule).expect("an answer"), "+OK\r\n");
    let config = quick(&format!("redis://hub:secret@127.0.0.1:{}/0", server.port)).compat(false);
    let (one, other) = (Node::new(config.clone()), Node::new(config));
    let mut reader = one.subscribe("sse").await;
    one.publish("sse", "x").await;
    assert_eq!(next_data(&mut reader).await, "x");
    assert!(other.hub.forget(&Channel::default()).await.expect("redis is there"));
    assert!(matches!(next(&mut reader).await, Delivery::Reset(_)));
}
