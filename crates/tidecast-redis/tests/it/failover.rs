//! A replica that lags is promoted: Redis itself has lost what it had acknowledged. No reader misses that in silence, and
//! none takes two events for one.

use std::{collections::HashMap, time::Duration};

use tidecast::{Delivery, ResetReason, Start, Subscription};
use tidecast_test::{redis::SentinelSet, wait_until};
use tokio::time::timeout;

use crate::node::{Node, next, publish_until_accepted, quick, until};

/// Where each event was seen, by everybody: one position never means two events.
#[derive(Debug, Default)]
struct Sightings(HashMap<String, String>);

impl Sightings {
    /// Reads until an event with this data has come; answers with all that came.
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
async fn what_a_lagging_replica_never_got_is_told() {
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
        let answer = sentinels.replica().command(&["XLEN", "tidecast:{sse}:events"]);
        answer.is_some_and(|answer| answer.trim_end() == entries)
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
    // Who had all of it is told that the channel is not what it was; so is who had not read a thing yet.
    let told = ["restarted after 20".to_owned(), "after".to_owned()];
    assert_eq!(sightings.read_until(&mut reader, "after").await, told);
    let slow_came = sightings.read_until(&mut slow, "after").await;
    let position = slow_came.iter().position(|came| came.starts_with("restarted")).expect("it is told");
    assert_eq!(slow_came[position + 1..].last().map(String::as_str), Some("after"));
    // And so is whoever comes back, with a position that Redis has or one that it has lost.
    for (id, comes) in [(ahead, vec![]), (behind, numbers(11..=20))] {
        let begins = format!("restarted after {}", 20 - comes.len());
        let mut back = other.hub.subscribe(["sse"], Start::After(id.into())).unwrap();
        let expected = [vec![begins], comes, vec!["after".to_owned()]].concat();
        assert_eq!(sightings.read_until(&mut back, "after").await, expected);
    }

    // The one that was killed comes back as a replica, is promoted in its turn, and nothing is lost by that.
    sentinels.rejoin();
    until(async || one.broker.stats().connected && other.broker.stats().connected).await;
    one.publish("sse", "more").await;
    assert_eq!(sightings.read_until(&mut reader, "more").await, ["more"]);
}

/// A failover that is asked for leaves the old primary as it is for some ten seconds. The hubs went on with it, and most of
/// what was acknowledged in that time was in no history afterwards.
#[tokio::test]
async fn after_a_planned_failover_the_hubs_move_at_once() {
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
    // It accepts events all the while. What it accepts once the promotion is known would be lost.
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
    // And those who listen heard it from there.
    loop {
        if let Delivery::Event(delivered) = next(&mut reader).await
            && delivered.frame.message().data == "after 99"
        {
            break;
        }
    }
}
