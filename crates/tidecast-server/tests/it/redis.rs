//! Several hubs on one Redis, together with Flask programs.
//!
//! The tests of `tidecast-redis` check the broker by itself. Here the hubs, the readers and the Redis that is killed
//! are real.

mod away;
mod databases;
mod flask;
mod foreign;
mod names;
mod nodes;
mod refusals;
mod rights;
mod start;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use tidecast_test::{HubProcess, eventually, redis::RedisServer};

use crate::TIDECAST;

/// Starts a hub on database 0 of a Redis and waits until it can publish.
pub(crate) async fn hub_on(redis: &RedisServer, arguments: &[&str]) -> HubProcess {
    let url = redis.url();
    let hub = TIDECAST.serve(&[&["--redis", &url], arguments].concat());
    until_ready(&hub).await;
    hub
}

async fn until_ready(hub: &HubProcess) {
    eventually("the hub is ready", async || hub.get("/readyz").await.head.status == 200).await;
}

/// Publishes any bytes with `redis-cli`, as other programs may.
fn publish_by_hand(redis: &RedisServer, channel: &str, payload: &[u8]) {
    let port = redis.port.to_string();
    let mut command = Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &port, "-x", "PUBLISH", channel]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("redis-cli starts");
    child.stdin.take().expect("a pipe").write_all(payload).expect("redis-cli reads");
    let output = child.wait_with_output().expect("redis-cli ends");
    let response = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && response.trim().parse::<u64>().is_ok(), "{response}");
}
