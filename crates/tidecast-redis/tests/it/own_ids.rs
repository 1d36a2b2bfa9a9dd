//! Publishers' ids on hubs that share a history: a new hub resolves them as an old one does.

use futures_util::future::join_all;
use tidecast::{Delivery, Event, Limits, ResetReason, Start};
use tidecast_test::redis::RedisServer;

use crate::node::{Node, next, quick};

async fn publish(node: &Node, data: usize, id: Option<&str>) {
    let event = Event::text(data.to_string());
    let event = if let Some(id) = id { event.with_id(id).expect("an id") } else { event };
    node.hub.publish("sse", event).await.expect("it is published");
}

/// Resumes with an id. Returns the reasons of the resets, and the numbers of the events up to the last.
async fn resume(node: &Node, id: &str, last: usize) -> (Vec<ResetReason>, Vec<usize>) {
    let mut reader = node.hub.subscribe(["sse"], Start::After(id.into())).expect("the hub is open");
    let (mut resets, mut numbers) = (Vec::new(), Vec::new());
    while numbers.last() != Some(&last) {
        match next(&mut reader).await {
            Delivery::Event(delivered) => numbers.push(delivered.frame.message().data.parse().expect("a number")),
            Delivery::Reset(reset) => resets.push(reset.reason),
        }
    }
    (resets, numbers)
}

/// A new hub knew only the ids in its own log, which begins with a page of the history: it delivered 256 of 300 missed
/// events and reset the reader with `unknown-id`.
#[tokio::test]
async fn a_publishers_id_is_looked_up_in_the_history() {
    const AFTER: usize = 300;
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    publish(&node, 0, Some("mine")).await;
    for number in 1..=AFTER {
        publish(&node, number, Some(&format!("other {number}"))).await;
    }
    drop(node);
    let node = Node::on(&server);
    assert_eq!(resume(&node, "mine", AFTER).await, (vec![], (1..=AFTER).collect()));
    // An unknown id brings a reset.
    let (resets, _) = resume(&node, "nobody's", AFTER).await;
    assert_eq!(resets, [ResetReason::UnknownId]);
}

/// Each reader with an unknown id made its hub transfer the whole history from Redis and drop it, without a bound in
/// bytes: 10,000 events of 100 KiB were 1 GB.
#[tokio::test]
async fn a_lookup_transfers_no_events_and_has_a_bound() {
    const EVENTS: usize = 140;
    const READERS: usize = 20;
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let large = "x".repeat(64 * 1024);
    for number in 0..EVENTS {
        let event = Event::text(format!("{number} {large}")).with_id(format!("own {number}")).expect("an id");
        node.hub.publish("sse", event).await.expect("it is published");
    }
    drop(node);
    let node = Node::on(&server);
    // Keeps the channel's log.
    let _reader = node.subscribe("sse").await;
    let begin_after = async |id: &str| {
        let mut reader = node.hub.subscribe(["sse"], Start::After(id.into())).expect("the hub is open");
        match next(&mut reader).await {
            Delivery::Reset(reset) => Some(reset.reason),
            Delivery::Event(_) => None,
        }
    };
    let sent = || {
        let stats = server.command(&["INFO", "stats"]).expect("an answer");
        let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.and_then(|line| line.trim().parse::<usize>().ok()).expect("a number")
    };
    let before = sent();
    let resets = join_all((0..READERS).map(|_| begin_after("nobody's"))).await;
    assert_eq!(resets, [Some(ResetReason::UnknownId); READERS]);
    let transferred = sent() - before;
    assert!(transferred < large.len() * EVENTS, "{transferred} bytes for {READERS} readers");
    // The event is more than 8 MiB from the end.
    assert_eq!(begin_after("own 0").await, Some(ResetReason::UnknownId));
    // The event is near the end, but another with that id may be in the part that was not searched.
    assert_eq!(begin_after("own 100").await, Some(ResetReason::AmbiguousId));
}

/// The reader may have resets any of several events with the id, so everything after the oldest is delivered.
#[tokio::test]
async fn repeated_ids_resume_after_the_oldest_at_every_hub() {
    const EVENTS: usize = 600;
    const IDS: [&str; 6] = ["a", "b", "c", "order-17", "é", "0.0"];
    let server = RedisServer::start(&[]);
    let mut small = Limits::default();
    small.log_events_max = 50;
    let nodes = [Node::on(&server), Node::with_limits(quick(&server.url()), small)];
    let _readers = [nodes[0].subscribe("sse").await, nodes[1].subscribe("sse").await];
    let mut random = fastrand::Rng::with_seed(17);
    let mut ids = Vec::new();
    for number in 0..EVENTS {
        // The last two ids are used once or never.
        let id = match number {
            40 => Some("é"),
            _ => random.bool().then(|| IDS[random.usize(..4)]),
        };
        publish(&nodes[number % 2], number, id).await;
        ids.push(id);
    }
    let begun_late = Node::on(&server);
    for id in &IDS[..5] {
        let oldest = ids.iter().position(|used| *used == Some(id)).expect("it was used");
        let is_repeated = ids.iter().filter(|used| **used == Some(id)).count() > 1;
        let resets = if is_repeated { vec![ResetReason::AmbiguousId] } else { vec![] };
        let expected = (resets, (oldest + 1..EVENTS).collect::<Vec<_>>());
        for node in nodes.iter().chain([&begun_late]) {
            assert_eq!(resume(node, id, EVENTS - 1).await, expected, "{id}");
        }
    }
}
