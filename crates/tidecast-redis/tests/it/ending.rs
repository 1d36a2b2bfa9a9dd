//! A hub ends at once, whatever Redis does, and leaves nothing behind.

use std::{
    pin::pin,
    process::Command,
    sync::Arc,
    task::{Context, Poll, Wake},
    thread::{self, Thread},
    time::Duration,
};

use tidecast::{Event, Hub, Limits, Start, Subscription, wire::FirstBlock};
use tidecast_redis::RedisBroker;
use tidecast_test::{PATIENCE, redis::RedisServer};
use tokio::{runtime::Handle, time::timeout};

use crate::node::{Node, next_data, quick, until};

fn signal(server: &RedisServer, name: &str) {
    let status = Command::new("kill").args([name, &server.pid().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// If Redis froze during a stream's backfill, the end of the hub waited for the command time-out.
#[tokio::test]
async fn a_hub_that_is_closed_while_redis_is_frozen_ends_at_once() {
    let server = RedisServer::start(&[]);
    let config = quick(&server.url()).command_timeout(PATIENCE * 10);
    let mut limits = Limits::default();
    limits.log_events_max = 5;
    let node = Node::with_limits(config, limits);
    let mut live = node.subscribe("sse").await;
    for number in 0..20 {
        node.publish("sse", number.to_string()).await;
        assert_eq!(next_data(&mut live).await, number.to_string());
    }
    signal(&server, "-STOP");
    let mut behind = node.hub.subscribe(["sse"], Start::Last(20)).expect("the hub is open");
    let mut opening = node.hub.subscribe(["another"], Start::Live).expect("the hub is open");
    let asked = timeout(Duration::from_millis(50), behind.next()).await;
    assert!(asked.is_err(), "it waits for redis");
    node.hub.close();
    for subscription in [&mut live, &mut behind, &mut opening] {
        let ended = timeout(PATIENCE, subscription.next()).await.expect("it ends");
        assert!(ended.is_none(), "{ended:?}");
    }
    assert!(node.hub.publish("sse", Event::text("x")).await.is_err_and(|error| error.is_closed()));
    assert!(node.hub.ready().await.is_err_and(|error| error.is_closed()));
    assert!(!node.broker.stats().connected);
    signal(&server, "-CONT");
}

#[tokio::test]
async fn a_hub_that_is_dropped_leaves_no_connection_and_no_task() {
    let server = RedisServer::start(&[]);
    let tasks = Handle::current().metrics().num_alive_tasks();
    for _ in 0..3 {
        let broker = Arc::new(RedisBroker::new(quick(&server.url())).expect("a configuration"));
        let hub = Hub::builder().broker(broker).build();
        let mut readers: Vec<_> = (0..100)
            .map(|number| hub.subscribe([format!("channel {number}").as_str()], Start::Live).expect("the hub is open"))
            .collect();
        let started = |reader: &mut Subscription| {
            reader.first_block(FirstBlock::default()).windows(4).any(|line| line == b"\nid:")
        };
        until(async || started(&mut readers[7])).await;
        hub.publish("channel 7", Event::text("x")).await.expect("it is published");
        assert!(timeout(PATIENCE, readers[7].next()).await.is_ok());
        // A publish is under way.
        let publishing = tokio::spawn({
            let hub = hub.clone();
            async move { hub.publish("sse", Event::text("x")).await }
        });
        drop((readers, hub));
        let _ = publishing.await.expect("no panic");
    }
    let connections = || server.command(&["CLIENT", "LIST"]).unwrap_or_default().matches("name=tidecast ").count();
    until(async || connections() == 0).await;
    until(async || Handle::current().metrics().num_alive_tasks() == tasks).await;
}

/// A hub may be used in a thread without a runtime, which panicked.
#[tokio::test]
async fn a_hub_can_be_used_in_a_thread_without_a_runtime() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let hub = node.hub.clone();
    let asking = thread::spawn(move || {
        let published = block_on(hub.publish("sse", Event::text("x"))).expect("it is published");
        let mut past = hub.subscribe(["sse"], Start::Last(1)).expect("the hub is open");
        let delivered = block_on(past.next()).is_some();
        (published.position.offset, delivered, block_on(hub.ready()).is_ok())
    });
    let asked = tokio::task::spawn_blocking(move || asking.join());
    let outcome = timeout(PATIENCE, asked).await.expect("it ends").expect("it is joined").expect("no panic");
    assert_eq!(outcome, (1, true, true));
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
