//! A slot of a Cluster moves under load: publishing resumes by itself, and nothing is lost silently or mistaken for
//! another event.

use std::{sync::Arc, time::Duration};

use tidecast::{Delivery, Event, ResetReason};
use tidecast_redis::RedisConfig;
use tidecast_test::{PATIENCE, redis::RedisCluster};
use tokio::time::{sleep, timeout};

use crate::node::{Node, next, publish_until_accepted, quick};

/// Returns the slot of the channel `sse`, whose keys have the name in a hash tag: the CRC-16 of the Cluster
/// specification.
fn slot_of_sse() -> u16 {
    let crc = b"sse".iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    });
    crc % 16_384
}

async fn a_slot_moves_under_load(configure: impl Fn(RedisConfig) -> RedisConfig) {
    let cluster = RedisCluster::start(&[]);
    let node = || Node::new(configure(quick(&cluster.url())));
    let (one, other) = (node(), Arc::new(node()));
    let mut reader = one.subscribe("sse").await;
    let publishing = tokio::spawn({
        let other = other.clone();
        async move {
            let mut accepted = Vec::new();
            for number in 0..800 {
                if other.hub.publish("sse", Event::text(number.to_string())).await.is_ok() {
                    accepted.push(number);
                }
                sleep(Duration::from_millis(1)).await;
            }
            publish_until_accepted(&other, "last").await;
            accepted
        }
    });

    let reading = tokio::spawn(async move {
        let (mut seen, mut resets) = (Vec::new(), 0);
        loop {
            match next(&mut reader).await {
                Delivery::Event(delivered) if delivered.frame.message().data == "last" => return (seen, resets),
                Delivery::Event(delivered) => {
                    seen.push(delivered.frame.message().data.parse::<u32>().expect("a number"));
                }
                Delivery::Reset(reset) => {
                    assert_eq!(reset.reason, ResetReason::Restarted);
                    resets += 1;
                }
            }
        }
    });

    let slot = slot_of_sse();
    let mut from = RedisCluster::first_owner(slot);
    for _ in 0..2 {
        sleep(Duration::from_millis(200)).await;
        let to = (from + 1) % 3;
        cluster.begin_move(slot, from, to);
        sleep(Duration::from_millis(20)).await;
        for key in ["tidecast:{sse}:meta", "tidecast:{sse}:events"] {
            cluster.move_key(key, from, to);
        }
        sleep(Duration::from_millis(20)).await;
        cluster.end_move(slot, from, to);
        from = to;
    }

    let accepted = timeout(PATIENCE, publishing).await.expect("publishing ends").expect("it does not fail");
    assert!(accepted.len() > 700, "publishing went on: {}", accepted.len());
    let (seen, resets) = timeout(PATIENCE, reading).await.expect("reading ends").expect("it does not fail");
    // Each node may lack what the other acknowledged, so each gets an epoch.
    assert_eq!(resets, 2, "each move is told");
    assert!(seen.windows(2).all(|two| two[0] < two[1]), "in order, and once: {seen:?}");
    let missed: Vec<_> = accepted.iter().filter(|number| !seen.contains(number)).collect();
    assert!(missed.is_empty(), "acknowledged, and never delivered: {missed:?}");
}

#[tokio::test]
async fn a_slot_moves() {
    a_slot_moves_under_load(|config| config).await;
}

#[tokio::test]
async fn a_slot_moves_with_its_sharded_channels() {
    a_slot_moves_under_load(|config| config.compat(false)).await;
}
