//! Each long-lived task panics while a reader listens, and an event published afterwards arrives.
//!
//! A pub/sub task once panicked because its log line could not be written, and was not restarted: publishes succeeded,
//! and no reader received anything.

use std::{sync::Arc, time::Duration};

use tidecast::{Delivery, Event, Hub, Start, Subscription, wire::FirstBlock};
use tidecast_test::{
    PATIENCE, eventually,
    redis::{RedisCluster, RedisServer, SentinelSet},
};
use tokio::time::timeout;

use super::*;
use crate::{RedisBroker, RedisConfig};

struct FaultRig {
    broker: Arc<RedisBroker>,
    hub: Hub,
    other: Hub,
    reader: Subscription,
}

impl FaultRig {
    async fn new(config: RedisConfig) -> Self {
        let broker = Arc::new(RedisBroker::new(config.clone()).unwrap());
        let hub = Hub::builder().broker(broker.clone()).build();
        let other = Hub::builder().broker(Arc::new(RedisBroker::new(config).unwrap())).build();
        let mut reader = hub.subscribe(["sse"], Start::Live).unwrap();
        eventually("the first position", async || {
            reader.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:")
        })
        .await;
        Self { broker, hub, other, reader }
    }

    /// Has a task panic when `provoke` makes it reach the fail point, and checks that the reader still receives events.
    async fn survives(mut self, at: FailPoint, mut provoke: impl AsyncFnMut(&Self)) {
        let fail_points = &self.broker.context.fail_points;
        fail_points.arm(at);
        eventually("the restart of the task", async || {
            provoke(&self).await;
            !fail_points.is_armed()
        })
        .await;
        let position = self.other.publish("sse", Event::text("after")).await.unwrap().position;
        loop {
            match timeout(PATIENCE, self.reader.next()).await.expect("the reader receives it") {
                Some(Delivery::Event(delivered)) if delivered.position == position => break,
                Some(_) => {}
                None => panic!("the stream ended"),
            }
        }
        eventually("the hub is ready", async || self.hub.ready().await.is_ok()).await;
    }
}

fn quick(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).unwrap().compare_interval(Duration::from_millis(50))
}

/// Subscribes to another channel, which wakes the worker and starts a backfill.
async fn read_another(rig: &FaultRig) {
    drop(rig.hub.subscribe([format!("channel {}", fastrand::u32(..)).as_str()], Start::Live).unwrap());
}

async fn publish(rig: &FaultRig) {
    rig.other.publish("sse", Event::text("before")).await.unwrap();
}

#[tokio::test]
async fn a_pubsub_worker_is_restarted() {
    let server = RedisServer::start(&[]);
    let rig = FaultRig::new(quick(&server.url())).await;
    let broker = rig.broker.clone();
    rig.survives(FailPoint::Listening, read_another).await;
    assert_eq!(broker.stats().task_restarts, 1);
}

#[tokio::test]
async fn the_task_that_reads_the_socket_is_restarted() {
    let server = RedisServer::start(&[]);
    FaultRig::new(quick(&server.url())).await.survives(FailPoint::Push, publish).await;
}

#[tokio::test]
async fn a_backfill_is_restarted() {
    let server = RedisServer::start(&[]);
    FaultRig::new(quick(&server.url())).await.survives(FailPoint::Backfill, read_another).await;
}

#[tokio::test]
async fn the_lag_check_is_restarted() {
    let server = RedisServer::start(&[]);
    FaultRig::new(quick(&server.url())).await.survives(FailPoint::LagCheck, async |_: &FaultRig| {}).await;
}

#[tokio::test]
async fn the_routing_of_a_clusters_channels_is_restarted() {
    let cluster = RedisCluster::start(&[]);
    let rig = FaultRig::new(quick(&cluster.url()).compat(false)).await;
    let broker = rig.broker.clone();
    let wake = async |rig: &FaultRig| rig.broker.context.connected.send_modify(|_| {});
    rig.survives(FailPoint::Routing, wake).await;
    assert_eq!(broker.stats().task_restarts, 1);
}

#[tokio::test]
async fn a_sentinel_watch_is_restarted() {
    let sentinels = SentinelSet::start(&[]);
    let rig = FaultRig::new(quick(&sentinels.url())).await;
    rig.survives(FailPoint::Sentinels, async |_: &FaultRig| sentinels.cut_subscribers()).await;
}

#[tokio::test]
async fn on_end_runs_before_the_next_start() {
    let restarts = AtomicU64::new(0);
    let events = parking_lot::Mutex::new(Vec::new());
    let start = async || {
        events.lock().push("start");
        assert!(events.lock().len() > 2, "the first one panics");
        std::future::pending::<()>().await;
    };
    let supervised = supervise("test", &restarts, start, || events.lock().push("end"));
    let _ = timeout(Duration::from_secs(1), supervised).await;
    assert_eq!(*events.lock(), ["start", "end", "start"]);
    assert_eq!(restarts.into_inner(), 1);
}
