//! The task that sweeps a hub starts with the first stream and ends with the hub.

use std::{sync::Arc, time::Duration};

use tidecast::{Hub, clock::ManualClock};
use tidecast_axum::router;
use tokio::{runtime::Handle, time::sleep};

use crate::exchange::{get, open, publish};

#[tokio::test(start_paused = true)]
async fn expired_events_are_removed_from_the_first_stream_on() {
    let clock = Arc::new(ManualClock::default());
    let hub = Hub::builder().clock(clock.clone()).build();
    let app = router(hub.clone());
    publish(&hub, "sse", "old");
    clock.advance(Duration::from_secs(301));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(hub.stats().log_events, 1, "nobody sweeps before there is a stream");

    let (body, _) = open(&app, get("/?channel=other")).await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(hub.stats().log_events, 0);

    // The task continues after the stream, as the hub still exists.
    drop(body);
    publish(&hub, "sse", "younger");
    clock.advance(Duration::from_secs(299));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(hub.stats().log_events, 1);
    clock.advance(Duration::from_secs(2));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(hub.stats().log_events, 0);
}

#[tokio::test(start_paused = true)]
async fn one_task_serves_all_streams_and_ends_with_the_last_handle() {
    let hub = Hub::new();
    let app = router(hub.clone());
    let streams = (open(&app, get("/")).await, open(&app, get("/?channel=a")).await);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 1);
    assert!(hub.sweeper().is_none(), "it is taken");
    drop((app, hub));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 1, "streams keep the hub");
    drop(streams);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_the_hub_is_closed() {
    let hub = Hub::new();
    let _stream = open(&router(hub.clone()), get("/")).await;
    hub.close();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}
