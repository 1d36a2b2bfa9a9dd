//! A lagging replica is promoted, so Redis has lost acknowledged events. Every reader is told of the loss, and no
//! position stands for two events.

use std::{collections::HashMap, time::Duration};

use tidecast::{Delivery, ResetReason, Start, Subscription};
use tidecast_test::{redis::SentinelSet, wait_until};
use tokio::time::timeout;

use crate::node::{Node, next, publish_until_accepted, quick, until};

/// The positions at which events were received: one position never stands for two events.
#[derive(Debug, Default)]
struct Sightings(HashMap<String, String>);

impl Sightings {
    /// Reads until an event with this data arrives, and returns everything that arrived.
    async fn read_until(&mut self, reader: &mut Subscription, last: &str) -> Vec<String> {
        let mut came = Vec::new();
        loop {
            match next(reader).await {
                Delivery::Event(delivered) => {
                    let message = delivered.frame.message();
                    let before = self.0.entry(message.last_event_id.clone()).or_insert_with(|| message.data.clone());
                    assert_eq!(*before, message.data, "{} means one event", message.last_event_id);
                    came.push(message.data);
                }
                Delivery::Reset(reset) => {
                    assert_eq!(reset.reason, ResetReason::Restarted);
                    came.push(format!("restarted after {}", reset.resumed_at.offset));
                }
            }
            if came.last().is_some_and(|data| data == last) {
                return came;
            }
        }
    }
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn readers_are_told_of_events_that_a_lagging_replica_lacks() {
    let mut sentinels = SentinelSet::start(&[]);
    let (one, other) = (Node::new(quick(&sentinels.url())), Node::new(quick(&sentinels.url())));
    let mut sightings = Sightings::default();
    let mut reader = one.subscribe("sse").await;
    let mut slow = other.subscribe("sse").await;
    for number in numbers(1..=20) {
        one.publish("sse", number).await;
    }
    assert_eq!(sightings.read_until(&mut reader, "20").await, numbers(1..=20));
    let behind = {
        let mut behind = one.hub.subscribe(["sse"], Start::Last(20)).unwrap();
        sightings.read_until(&mut behind, "10").await;
        behind.cursor().to_string()
    };
    let has = |entries: &str| {
        let response = sentinels.replica().command(&["XLEN", "tidecast:{sse}:events"]);
        response.is_some_and(|response| response.trim_end() == entries)
    };
    assert!(wait_until(|| has(":20")), "the replica has them");
    sentinels.cut_replication();
    for number in numbers(21..=40) {
        one.publish("sse", number).await;
    }
    assert_eq!(sightings.read_until(&mut reader, "40").await, numbers(21..=40), "acknowledged and delivered");
    let ahead = reader.cursor().to_string();
    sentinels.kill_primary();
    sentinels.wait_for_promotion();

    let after = publish_until_accepted(&one, "after").await;
    assert_eq!(after, 21, "redis counts on from what it has");
    // Readers that have received everything get a reset, as do those that have not read yet.
    let expected = ["restarted after 20".to_owned(), "after".to_owned()];
    assert_eq!(sightings.read_until(&mut reader, "after").await, expected);
    let slow_came = sightings.read_until(&mut slow, "after").await;
    let position = slow_came.iter().position(|came| came.starts_with("restarted")).expect("it is told");
    assert_eq!(slow_came[position + 1..].last().map(String::as_str), Some("after"));
    // So do clients that reconnect, with a position that Redis has or with one that it has lost.
    for (id, comes) in [(ahead, vec![]), (behind, numbers(11..=20))] {
        let begins = format!("restarted after {}", 20 - comes.len());
        let mut back = other.hub.subscribe(["sse"], Start::After(id.into())).unwrap();
        let expected = [vec![begins], comes, vec!["after".to_owned()]].concat();
        assert_eq!(sightings.read_until(&mut back, "after").await, expected);
    }

    // The killed server returns as a replica and is promoted in turn, without a loss.
    sentinels.rejoin();
    until(async || one.broker.stats().connected && other.broker.stats().connected).await;
    one.publish("sse", "more").await;
    assert_eq!(sightings.read_until(&mut reader, "more").await, ["more"]);
}

/// A planned failover leaves the old primary running for some ten seconds. The hubs stayed with it, and most events of
/// that time were missing from every history afterwards.
#[tokio::test]
async fn hubs_move_to_the_new_primary_at_once_after_a_planned_failover() {
    let mut sentinels = SentinelSet::start(&[]);
    let (one, other) = (Node::new(quick(&sentinels.url())), Node::new(quick(&sentinels.url())));
    let mut reader = other.subscribe("sse").await;
    publish_until_accepted(&one, "before").await;
    let old = sentinels.primary().port;
    sentinels.ask_for_failover();
    let mut promotion = tokio::task::spawn_blocking(move || {
        sentinels.wait_for_promotion();
        sentinels
    });
    // The old primary accepts events all the time. Those after the known promotion would be lost.
    let sentinels = loop {
        publish_until_accepted(&one, "during").await;
        if let Ok(promoted) = timeout(Duration::from_millis(5), &mut promotion).await {
            break promoted.expect("it waits");
        }
    };
    assert_ne!(sentinels.primary().port, old);
    for number in 0..100 {
        publish_until_accepted(&one, &format!("after {number}")).await;
    }
    let newest = sentinels.primary().command(&["XREVRANGE", "tidecast:{sse}:events", "+", "-", "COUNT", "1"]);
    assert!(newest.as_ref().is_some_and(|newest| newest.contains("after 99")), "{newest:?}");
    // The readers received it from the new primary.
    loop {
        if let Delivery::Event(delivered) = next(&mut reader).await
            && delivered.frame.message().data == "after 99"
        {
            break;
        }
    }
}
