//! While Redis is unavailable, the hub reports it, keeps its streams open and accepts new ones. Afterwards the streams
//! resume by themselves.

use std::time::{Duration, Instant};

use serde_json::json;
use tidecast_test::{HubProcess, Signal, eventually, free_port, redis::RedisServer, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{hub_on, until_ready};
use crate::TIDECAST;

/// Publishes an event, which must fail, and returns the detail of the problem.
async fn refused_detail(hub: &HubProcess) -> String {
    let response =
        hub.request("POST", "/publish", &[("Content-Type", "application/json")], br#"{"data":"lost"}"#).await;
    let detail = response.problem(503);
    assert_eq!(response.head.header("retry-after"), Some("1"), "{response:?}");
    detail
}

async fn until_unavailable(hub: &HubProcess) {
    eventually("the hub is not ready", async || hub.get("/readyz").await.head.status == 503).await;
}

#[tokio::test]
async fn a_hub_starts_without_its_redis_and_waits_for_it() {
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let hub = TIDECAST.serve(&["--redis", &url, "--keep-alive", "100ms"]);
    assert_eq!(hub.get("/healthz").await.text(), "alive\n");
    assert!(!hub.get("/readyz").await.problem(503).is_empty());
    assert!(!refused_detail(&hub).await.is_empty());
    assert_eq!(hub.metric("tidecast_redis_connected").await, 0);

    // A stream gets its head and keep-alive comments at once, before its position is known.
    let mut stream = hub.stream("/stream?channel=news").await;
    let body = stream.body_until("\n:\n:\n").await;
    assert!(body.starts_with(": tidecast\nretry: 3000\n"), "{body:?}");
    assert_eq!(stream.last_event_id(), "");

    let mut redis = RedisServer::new("redis-server", port, &["--save", ""]);
    redis.run();
    until_ready(&hub).await;
    stream.until_live().await;
    hub.publish(r#"{"channel":"news","data":"there"}"#).await;
    assert_eq!(stream.message().await.data, "there");
    hub.until_metric("tidecast_redis_connected", 1).await;
    assert_eq!(hub.metric("tidecast_redis_channels_subscribed").await, 1);
}

/// Each attempt logged a line, 63 in half a minute.
#[tokio::test]
async fn a_redis_that_refuses_every_connection_does_not_fill_the_log() {
    const REFUSAL: &[u8] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let redis = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://:wrong@{}", redis.local_addr().expect("an address"));
    let started = Instant::now();
    let hub = TIDECAST.serve(&["--redis", &url]);
    for _ in 0..8 {
        let (mut attempt, _) = within("an attempt", redis.accept()).await.expect("a connection");
        tokio::spawn(async move {
            let mut request = [0; 1_024];
            while let Ok(read @ 1..) = attempt.read(&mut request).await {
                // Each command begins with `*`.
                let commands = request[..read].iter().filter(|byte| **byte == b'*').count();
                let _ = attempt.write_all(&REFUSAL.repeat(commands)).await;
            }
        });
    }
    eventually("the log has the refusal", async || hub.stderr().contains("WRONGPASS")).await;
    let log = hub.stderr();
    let lines = log.lines().filter(|line| line.contains("not listening") && line.contains("WRONGPASS")).count();
    let due = usize::try_from(started.elapsed().as_secs() / 10).unwrap_or(usize::MAX) + 1;
    assert!(lines <= due && log.contains("attempts=1"), "{lines} lines, of at most {due}: {log}");
}

#[tokio::test]
async fn no_password_is_revealed_while_redis_is_unavailable() {
    let url = format!("redis://me:hunter2@127.0.0.1:{}/0?password=hunter2", free_port());
    let hub = TIDECAST.serve(&["--redis", &url, "--log", "trace"]);
    let output = hub.get("/readyz").await.problem(503) + &refused_detail(&hub).await + &hub.stdout() + &hub.stderr();
    assert!(!output.contains("hunter2"), "{output}");
}

/// Redis is killed and started again on the same port with its data, as it acknowledges events only after they are on
/// disk.
#[tokio::test]
async fn streams_stay_open_while_redis_is_killed_and_catch_up_afterwards() {
    let mut redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (one, other) = (hub_on(&redis, &[]).await, hub_on(&redis, &[]).await);
    let mut streams = Vec::new();
    for hub in [&one, &other] {
        let mut stream = hub.stream("/stream?channel=news").await;
        stream.until_live().await;
        streams.push(stream);
    }
    let mut positions = Vec::new();
    for number in 1..=5 {
        let response = one.publish(&json!({ "channel": "news", "data": number.to_string() }).to_string()).await;
        positions.push(response["position"].as_str().expect("a position").to_owned());
    }
    for stream in &mut streams {
        assert_eq!(stream.data_until("5").await.0, ["1", "2", "3", "4", "5"]);
    }

    redis.kill();
    for hub in [&one, &other] {
        until_unavailable(hub).await;
        assert!(!refused_detail(hub).await.is_empty());
    }
    let resumed = format!("/stream?channel=news&last_event_id={}", positions[2]);
    let mut resumed = [one.stream(&resumed).await, other.stream(&resumed).await];
    // This hub has no log of a channel that nobody has read, so its events come from Redis alone.
    let mut several = other.stream("/stream?channel=quiet&channel=news").await;

    redis.run();
    for hub in [&one, &other] {
        until_ready(hub).await;
    }
    several.until_live().await;
    other.publish(r#"{"channel":"news","data":"after"}"#).await;
    for stream in streams.iter_mut().chain([&mut several]) {
        let (data, resets) = stream.data_until("after").await;
        assert_eq!(data, ["after"], "no event twice");
        // A restarted Redis may have lost acknowledged events, so readers are told once.
        assert!(resets <= 1, "{resets} resets");
    }
    for stream in &mut resumed {
        let (data, resets) = stream.data_until("after").await;
        assert_eq!(data, ["4", "5", "after"]);
        assert!(resets <= 1, "{resets} resets");
    }
    for hub in [&one, &other] {
        assert!(hub.metric("tidecast_redis_reconnects_total").await >= 1);
    }
}

/// Redis without its data starts new epochs: a client with an old position gets a reset, and no stream waits for ever.
#[tokio::test]
async fn readers_get_a_reset_if_redis_lost_its_data() {
    let mut redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &[]).await;
    let mut stream = hub.stream("/stream?channel=news").await;
    stream.until_live().await;
    hub.publish(r#"{"channel":"news","data":"before"}"#).await;
    assert_eq!(stream.message().await.data, "before");
    redis.kill();
    until_unavailable(&hub).await;
    redis.run();
    until_ready(&hub).await;
    hub.publish(r#"{"channel":"news","data":"after"}"#).await;
    let (data, resets) = stream.data_until("after").await;
    assert_eq!((data, resets), (vec!["after".to_owned()], 1));
}

#[tokio::test]
async fn a_hub_stops_in_time_while_redis_is_unavailable() {
    let mut redis = RedisServer::start(&[]);
    let mut hub = hub_on(&redis, &["--stop-timeout", "1s"]).await;
    let mut live = hub.stream("/stream?channel=a").await;
    live.until_live().await;
    redis.kill();
    until_unavailable(&hub).await;
    let mut opening = hub.stream("/stream?channel=b").await;
    hub.signal(Signal::TERM);
    for stream in [&mut live, &mut opening] {
        stream.rest().await;
    }
    let (status, took) = hub.ended().await;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}
