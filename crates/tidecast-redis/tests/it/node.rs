//! A node: a hub on Redis in this process, on a separate runtime that a test can stall so that the node lags.

use std::{sync::Arc, thread, time::Duration};

use tidecast::{Delivery, Event, Hub, Limits, Start, Subscription, wire::FirstBlock};
use tidecast_redis::{RedisBroker, RedisConfig};
use tidecast_test::{PATIENCE, eventually, redis::RedisServer};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<RedisBroker>,
    /// Taken in `drop`, as a runtime must not be dropped inside another.
    runtime: Option<Runtime>,
}

impl Node {
    pub(crate) fn new(config: RedisConfig) -> Self {
        Self::with_limits(config, Limits::default())
    }

    pub(crate) fn with_limits(config: RedisConfig, limits: Limits) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let broker = {
            let _inside = runtime.enter();
            Arc::new(RedisBroker::new(config).expect("a configuration"))
        };
        let hub = Hub::builder().limits(limits).broker(broker.clone()).build();
        Self { hub, broker, runtime: Some(runtime) }
    }

    /// Returns a node on a server.
    pub(crate) fn on(server: &RedisServer) -> Self {
        Self::new(quick(&server.url()))
    }

    /// Stalls everything that the node does with Redis.
    pub(crate) fn stall(&self, time: Duration) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move { thread::sleep(time) });
        }
    }

    /// Returns a live subscription once it has a position.
    pub(crate) async fn subscribe(&self, channel: &str) -> Subscription {
        let mut subscription = self.hub.subscribe([channel], Start::Live).expect("the hub is open");
        timeout(PATIENCE, until_live(&mut subscription)).await.expect("the channel opens");
        subscription
    }

    pub(crate) async fn publish(&self, channel: &str, data: impl Into<String>) -> u64 {
        self.hub.publish(channel, Event::text(data)).await.expect("it is published").position.offset
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.hub.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns a configuration that notices every failure within a second or two.
pub(crate) fn quick(url: &str) -> RedisConfig {
    RedisConfig::from_url(url)
        .expect("a URL")
        .command_timeout(Duration::from_secs(3))
        .connect_timeout(Duration::from_secs(1))
        .probe_interval(Duration::from_millis(300))
        .probe_timeout(Duration::from_millis(700))
        .compare_interval(Duration::from_secs(1))
}

/// Returns the next delivery.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(PATIENCE, subscription.next()).await.expect("a delivery arrives in time").expect("the hub is open")
}

/// Returns the data of the next delivery, which must be an event.
pub(crate) async fn next_data(subscription: &mut Subscription) -> String {
    match next(subscription).await {
        Delivery::Event(delivered) => delivered.frame.message().data,
        Delivery::Reset(reset) => panic!("an event, not {reset:?}"),
    }
}

/// Publishes until the event is accepted, and returns its offset.
pub(crate) async fn publish_until_accepted(node: &Node, data: &str) -> u64 {
    let publishing = async {
        loop {
            match node.hub.publish("sse", Event::text(data)).await {
                Ok(published) => return published.position.offset,
                Err(error) => assert!(error.is_unavailable(), "{error}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, publishing).await.expect("publishing resumes by itself")
}

/// Checks a condition again and again until it holds.
pub(crate) async fn until(holds: impl AsyncFnMut() -> bool) {
    eventually("the condition", holds).await;
}

/// Waits until a subscription has a position.
async fn until_live(subscription: &mut Subscription) {
    // The first block has an id once the position is known.
    while !subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:") {
        sleep(Duration::from_millis(2)).await;
    }
}
