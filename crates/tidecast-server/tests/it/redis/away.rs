//! Redis is away: the hub says so, keeps its streams, takes new ones, and goes on by itself where everybody was.

use std::time::{Duration, Instant};

use serde_json::json;
use tidecast_test::{HubProcess, Signal, eventually, free_port, redis::RedisServer, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{hub_on, until_ready};
use crate::TIDECAST;

/// What is answered to a publish that can't be made.
async fn refused(hub: &HubProcess) -> String {
    let answer = hub.request("POST", "/publish", &[("Content-Type", "application/json")], br#"{"data":"lost"}"#).await;
    let detail = answer.problem(503);
    assert_eq!(answer.head.header("retry-after"), Some("1"), "{answer:?}");
    detail
}

async fn until_away(hub: &HubProcess) {
    eventually("the hub is not ready", async || hub.get("/readyz").await.head.status == 503).await;
}

#[tokio::test]
async fn a_hub_begins_without_its_redis_and_waits_for_it() {
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let hub = TIDECAST.serve(&["--redis", &url, "--keep-alive", "100ms"]);
    assert_eq!(hub.get("/healthz").await.text(), "alive\n");
    assert!(!hub.get("/readyz").await.problem(503).is_empty());
    assert!(!refused(&hub).await.is_empty());
    assert_eq!(hub.metric("tidecast_redis_connected").await, 0);

    // A stream has its head at once and is kept alive, before anybody knows where it stands.
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

/// Each attempt had a line of its own, 63 in half a minute.
#[tokio::test]
async fn a_redis_that_refuses_every_attempt_does_not_fill_the_log() {
    const REFUSAL: &[u8] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let redis = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://:wrong@{}", redis.local_addr().expect("an address"));
    let begun = Instant::now();
    let hub = TIDECAST.serve(&["--redis", &url]);
    for _ in 0..8 {
        let (mut attempt, _) = within("an attempt", redis.accept()).await.expect("a connection");
        tokio::spawn(async move {
            let mut request = [0; 1_024];
            while let Ok(read @ 1..) = attempt.read(&mut request).await {
                // Each command begins with a `*`.
                let commands = request[..read].iter().filter(|byte| **byte == b'*').count();
                let _ = attempt.write_all(&REFUSAL.repeat(commands)).await;
            }
        });
    }
    eventually("the log has the refusal", async || hub.stderr().contains("WRONGPASS")).await;
    let log = hub.stderr();
    let lines = log.lines().filter(|line| line.contains("not listening") && line.contains("WRONGPASS")).count();
    let due = usize::try_from(begun.elapsed().as_secs() / 10).unwrap_or(usize::MAX) + 1;
    assert!(lines <= due && log.contains("attempts=1"), "{lines} lines, of at most {due}: {log}");
}

#[tokio::test]
async fn no_password_is_said_while_redis_is_away() {
    let url = format!("redis://me:hunter2@127.0.0.1:{}/0?password=hunter2", free_port());
    let hub = TIDECAST.serve(&["--redis", &url, "--log", "trace"]);
    let said = hub.get("/readyz").await.problem(503) + &refused(&hub).await + &hub.stdout() + &hub.stderr();
    assert!(!said.contains("hunter2"), "{said}");
}

/// Killed, and started on the same port with what it had: every event was acknowledged after it was on disk.
#[tokio::test]
async fn streams_stay_open_while_redis_is_killed_and_catch_up_after() {
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
        let answer = one.publish(&json!({ "channel": "news", "data": number.to_string() }).to_string()).await;
        positions.push(answer["position"].as_str().expect("a position").to_owned());
    }
    for stream in &mut streams {
        assert_eq!(stream.data_until("5").await.0, ["1", "2", "3", "4", "5"]);
    }

    redis.kill();
    for hub in [&one, &other] {
        until_away(hub).await;
        assert!(!refused(hub).await.is_empty());
    }
    let resumed = format!("/stream?channel=news&last_event_id={}", positions[2]);
    let mut resumed = [one.stream(&resumed).await, other.stream(&resumed).await];
    // What was not read before has no log on this hub, and comes from Redis alone.
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
        // Another process may have lost what it acknowledged: its readers are told, and once.
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

/// Without its data Redis begins anew: who comes back with a position of before is told, and nobody waits for ever.
#[tokio::test]
async fn a_redis_that_lost_everything_is_told_to_readers() {
    let mut redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &[]).await;
    let mut stream = hub.stream("/stream?channel=news").await;
    stream.until_live().await;
    hub.publish(r#"{"channel":"news","data":"before"}"#).await;
    assert_eq!(stream.message().await.data, "before");
    redis.kill();
    until_away(&hub).await;
    redis.run();
    until_ready(&hub).await;
    hub.publish(r#"{"channel":"news","data":"after"}"#).await;
    let (data, resets) = stream.data_until("after").await;
    assert_eq!((data, resets), (vec!["after".to_owned()], 1));
}

#[tokio::test]
async fn a_hub_ends_in_time_while_redis_is_away() {
    let mut redis = RedisServer::start(&[]);
    let mut hub = hub_on(&redis, &["--stop-timeout", "1s"]).await;
    let mut live = hub.stream("/stream?channel=a").await;
    live.until_live().await;
    redis.kill();
    until_away(&hub).await;
    let mut opening = hub.stream("/stream?channel=b").await;
    hub.signal(Signal::TERM);
    for stream in [&mut live, &mut opening] {
        stream.rest().await;
    }
    let (status, took) = hub.ended().await;
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}
