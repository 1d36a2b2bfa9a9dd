//! One primary of a Cluster is unavailable: channels of the others work.

use std::time::Duration;

use tidecast::{Delivery, Start, wire::FirstBlock};
use tidecast_test::redis::{RedisCluster, freeze, thaw};
use tokio::time::{sleep, timeout};

use crate::node::{Node, next, quick};

/// The command time-out, so long that waiting for a frozen node is noticed.
const CALL: Duration = Duration::from_secs(120);

fn slot(channel: &str) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(channel.as_bytes()) % 16_384
}

/// Returns the name of a channel whose slot this node owns.
fn channel_at(node: usize, number: usize) -> String {
    let names = (0..).map(|attempt| format!("channel-{number}-{attempt}"));
    names.into_iter().find(|name| RedisCluster::first_owner(slot(name)) == node).expect("one of them is there")
}

/// A page with two channels reconnected while the primary of one was unavailable, and received nothing of the other.
/// Backfills of all nodes shared one queue, so that all waited for the node that did not reply.
#[tokio::test]
async fn channels_of_other_nodes_are_served() {
    const CHANNELS: usize = 40;
    let cluster = RedisCluster::start(&["--cluster-require-full-coverage", "no"]);
    let node = Node::new(quick(&cluster.url()).command_timeout(CALL));
    let (here, away) = (channel_at(0, 0), channel_at(2, 0));
    let both = [here.as_str(), away.as_str()];
    let mut page = node.hub.subscribe(both, Start::Live).expect("the hub is open");
    while !page.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:") {
        sleep(Duration::from_millis(2)).await;
    }
    node.publish(&here, "before").await;
    let Delivery::Event(before) = next(&mut page).await else { panic!("an event") };
    drop(node);

    freeze(&cluster.nodes[2]);
    // A new hub has no open channel.
    let node = Node::new(quick(&cluster.url()).command_timeout(CALL));
    let mut back = node.hub.subscribe(both, Start::After(before.cursor.to_string().into())).expect("the hub is open");
    let mut readers = Vec::new();
    for number in 1..=CHANNELS {
        for owner in 0..3 {
            let channel = channel_at(owner, number);
            readers.push((owner, node.hub.subscribe([channel.as_str()], Start::Live).expect("the hub is open")));
        }
    }
    let read = async {
        node.publish(&here, "after").await;
        let Delivery::Event(after) = next(&mut back).await else { panic!("an event") };
        assert_eq!(after.frame.message().data, "after");
        for (_, reader) in readers.iter_mut().filter(|(owner, _)| *owner != 2) {
            while !reader.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:") {
                sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let in_time = timeout(CALL / 3, read).await.is_ok();
    thaw(&cluster.nodes[2]);
    assert!(in_time, "the others waited for the node that is away");
}
