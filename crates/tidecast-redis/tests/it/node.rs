//! One node: a hub on Redis in this process, on a runtime of its own that a test can stall, so that the node lags.

use std::{sync::Arc, thread, time::Duration};

use tidecast::{Delivery, Event, Hub, Limits, Start, Subscription, wire::FirstBlock};
use tidecast_redis::{RedisBroker, RedisConfig};
use tidecast_test::{PATIENCE, redis::RedisServer};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<RedisBroker>,
    /// Taken when it is dropped: a runtime must not end inside another.
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

    /// A node on a server, that notices a dead connection within a second or two.
    pub(crate) fn on(server: &RedisServer) -> Self {
        Self::new(quick(&server.url()))
    }

    /// Has everything that the node does with Redis stand still for a time.
    pub(crate) fn stall(&self, time: Duration) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move { thread::sleep(time) });
        }
    }

    /// A live subscription, once it knows where it stands.
    pub(crate) async fn subscribe(&self, channel: &str) -> Subscription {
        let mut subscription = self.hub.subscribe([channel], Start::Live).expect("the hub is open");
        timeout(PATIENCE, begun(&mut subscription)).await.expect("the channel opens");
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

/// A configuration that notices everything within a second or two.
pub(crate) fn quick(url: &str) -> RedisConfig {
    RedisConfig::from_url(url)
        .expect("a URL")
        .command_timeout(Duration::from_secs(3))
        .connect_timeout(Duration::from_secs(1))
        .probe_interval(Duration::from_millis(300))
        .probe_timeout(Duration::from_millis(700))
        .compare_interval(Duration::from_secs(1))
}

/// What comes next, within patience.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(PATIENCE, subscription.next()).await.expect("something comes").expect("the hub is open")
}

/// The data of the next event.
pub(crate) async fn next_data(subscription: &mut Subscription) -> String {
    match next(subscription).await {
        Delivery::Event(delivered) => delivered.frame.message().data,
        Delivery::Reset(reset) => panic!("an event, not {reset:?}"),
    }
}

/// Publishes until it is accepted.
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

/// Looks again and again whether something has come about.
pub(crate) async fn until(mut come_about: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !come_about().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it comes about");
}

/// Waits until a subscription knows where it stands.
async fn begun(subscription: &mut Subscription) {
    // Where its first block has the id, it does.
    while !subscription.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:") {
        sleep(Duration::from_millis(2)).await;
    }
}
