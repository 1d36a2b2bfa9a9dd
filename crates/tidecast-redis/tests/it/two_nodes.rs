//! Two nodes on one Redis act as one hub: readers move between them at random, also while one lags, and miss nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidecast::{Channel, Delivery, Event, Start};
use tidecast_test::{PATIENCE, redis::RedisServer};
use tokio::{task::JoinSet, time::timeout};

use crate::node::Node;

const READERS: usize = 200;
const EVENTS_EACH: usize = 1_000;

/// The events of one reader during one stay at a node.
#[derive(Debug, Default)]
struct Stay {
    /// The node's head right after the reader connected: later events are live to it.
    live_after: u64,
    /// The offsets of the hubs' events, and the foreign events between them.
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Ours { offset: u64, data: String },
    Foreign(String),
}

/// Reads at both nodes until everything was published and read, and returns all stays.
async fn wander(nodes: Arc<[Node; 2]>, total: Arc<AtomicUsize>, done: Arc<AtomicBool>) -> Vec<Stay> {
    let channel = Channel::default();
    let mut stays = Vec::new();
    let mut last_id: Option<String> = None;
    let mut at = 0;
    loop {
        let node = &nodes[fastrand::usize(..2)];
        let start = last_id.as_ref().map_or(Start::Live, |id| Start::After(id.clone().into()));
        let mut subscription = match &last_id {
            None => node.subscribe("sse").await,
            Some(_) => node.hub.subscribe(["sse"], start).expect("the hub is open"),
        };
        if last_id.is_none() {
            at = subscription.cursor().positions()[0].offset;
            last_id = Some(subscription.cursor().to_string());
        }
        // Read after connecting, as everything up to here may have been published before.
        let live_after = node.hub.channel(&channel).map_or(u64::MAX, |info| info.head.offset);
        let mut stay = Stay { live_after, ..Stay::default() };
        for _ in 0..fastrand::usize(1..200) {
            if done.load(Ordering::Acquire) && at == total.load(Ordering::Acquire) as u64 {
                stays.push(stay);
                return stays;
            }
            let Ok(delivery) = timeout(Duration::from_millis(200), subscription.next()).await else { continue };
            match delivery.expect("the hub is open") {
                Delivery::Reset(reset) => panic!("nothing is lost, but {reset:?} after {last_id:?}"),
                Delivery::Event(delivered) => {
                    let message = delivered.frame.message();
                    if message.last_event_id.is_empty() {
                        stay.seen.push(Seen::Foreign(message.data));
                    } else {
                        at = delivered.cursor.positions()[0].offset;
                        last_id = Some(message.last_event_id);
                        stay.seen.push(Seen::Ours { offset: at, data: message.data });
                    }
                }
            }
        }
        stays.push(stay);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_move_between_nodes_miss_nothing_and_receive_foreign_events_once() {
    let server = Arc::new(RedisServer::start(&[]));
    let nodes = Arc::new([Node::on(&server), Node::on(&server)]);
    nodes[0].publish("sse", "the first").await;
    // Both nodes must be subscribed from here on, as a foreign event does not reach a node that is not.
    let _both_listen = [nodes[0].subscribe("sse").await, nodes[1].subscribe("sse").await];
    let total = Arc::new(AtomicUsize::new(1));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(wander(nodes.clone(), total.clone(), done.clone()));
    }

    let mut publishers = JoinSet::new();
    for publisher in 0..2 {
        let (nodes, total) = (nodes.clone(), total.clone());
        publishers.spawn(async move {
            for number in 0..EVENTS_EACH {
                let event = Event::text(format!("{publisher}:{number}"));
                nodes[publisher].hub.publish("sse", event).await.expect("it is published");
                total.fetch_add(1, Ordering::AcqRel);
                if number % 100 == 50 {
                    nodes[1 - publisher].stall(Duration::from_millis(100));
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
        });
    }
    let foreign = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for number in 0..100 {
                server.command(&["PUBLISH", "sse", &format!(r#"{{"data": "foreign {number}"}}"#)]).expect("an answer");
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    while let Some(published) = publishers.join_next().await {
        published.expect("a publisher ends");
    }
    foreign.await.expect("the other publisher ends");
    done.store(true, Ordering::Release);

    let mut all = Vec::new();
    timeout(PATIENCE, async {
        while let Some(stays) = readers.join_next().await {
            all.push(stays.expect("a reader ends"));
        }
    })
    .await
    .expect("every reader gets to the end");
    check_own(&all);
    let places = places_of_foreign(&all);
    assert!(places.len() >= 90, "most of the foreign events were seen by somebody: {}", places.len());
    check_foreign(&all, &places);
}

/// Checks that each reader received every offset from its first on, once, in order, with the same data as all others,
/// and that the order of each publisher is kept.
fn check_own(all: &[Vec<Stay>]) {
    let mut data_at: BTreeMap<u64, &str> = BTreeMap::new();
    for stays in all {
        let mut next = None;
        for seen in stays.iter().flat_map(|stay| &stay.seen) {
            let Seen::Ours { offset, data } = seen else { continue };
            assert_eq!(*offset, *next.get_or_insert(*offset));
            next = Some(offset + 1);
            assert_eq!(*data_at.entry(*offset).or_insert(data), data);
        }
        assert_eq!(next, Some(2 * EVENTS_EACH as u64 + 2), "to the end");
    }
    for publisher in ["0:", "1:"] {
        let numbers: Vec<usize> =
            data_at.values().filter_map(|data| data.strip_prefix(publisher)?.parse().ok()).collect();
        assert!(numbers.is_sorted(), "the order of one publisher");
    }
}

/// Returns the offset that each foreign event followed, which must be the same for all readers.
fn places_of_foreign(all: &[Vec<Stay>]) -> HashMap<&str, u64> {
    let mut places = HashMap::new();
    for stay in all.iter().flatten() {
        let mut after = None;
        for seen in &stay.seen {
            match (seen, after) {
                (Seen::Ours { offset, .. }, _) => after = Some(*offset),
                (Seen::Foreign(data), Some(after)) => {
                    assert_eq!(*places.entry(data.as_str()).or_insert(after), after, "{data} has one place");
                }
                (Seen::Foreign(_), None) => {}
            }
        }
    }
    places
}

/// Checks that no reader received a foreign event twice in one stay, and that readers which received the events around
/// it received it.
fn check_foreign(all: &[Vec<Stay>], places: &HashMap<&str, u64>) {
    for stay in all.iter().flatten() {
        let ours: Vec<u64> = stay
            .seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Ours { offset, .. } => Some(*offset),
                Seen::Foreign(_) => None,
            })
            .collect();
        let (Some(first), Some(last)) = (ours.first(), ours.last()) else { continue };
        for (data, after) in places {
            let times = stay.seen.iter().filter(|seen| matches!(seen, Seen::Foreign(it) if it == data)).count();
            assert!(times <= 1, "{data} came {times} times");
            let was_there = *after > stay.live_after && after >= first && after < last;
            assert!(times == 1 || !was_there, "{data}, after {after}, was missed in {stay:?}");
        }
    }
}
