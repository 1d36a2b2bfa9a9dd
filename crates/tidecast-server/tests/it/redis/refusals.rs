//! Redis refuses commands: publishers get its error, and streams are not affected.

use std::fs;

use tidecast_test::{HubProcess, eventually, redis::RedisServer};

use super::{hub_on, until_ready};

async fn refused_detail(hub: &HubProcess) -> String {
    let body = br#"{"channel":"news","data":"refused"}"#;
    let response = hub.request("POST", "/publish", &[("Content-Type", "application/json")], body).await;
    let detail = response.problem(503);
    assert!(response.head.header("retry-after").is_some(), "{response:?}");
    detail
}

fn configure(redis: &RedisServer, name: &str, value: &str) {
    let response = redis.command(&["CONFIG", "SET", name, value]);
    assert_eq!(response.as_deref(), Some("+OK\r\n"), "{name} {value}");
}

#[tokio::test]
async fn redis_without_memory_is_a_503_with_the_reason() {
    let redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &[]).await;
    let mut stream = hub.stream("/stream?channel=news").await;
    stream.until_live().await;
    hub.publish(r#"{"channel":"news","data":"before"}"#).await;
    configure(&redis, "maxmemory", "1");
    assert!(refused_detail(&hub).await.contains("OOM"));
    assert!(hub.metric("tidecast_publishes_failed_total").await >= 1);
    // `/readyz` reported ready, so a load balancer kept sending publishers to this hub.
    let ready = hub.request("GET", "/readyz", &[], b"").await;
    assert!(ready.problem(503).contains("OOM"), "{ready:?}");
    // Retained events can still be read, by present and new readers.
    let mut late = hub.stream("/stream?channel=news&last=1").await;
    assert_eq!(late.message().await.data, "before");
    configure(&redis, "maxmemory", "0");
    until_ready(&hub).await;
    hub.publish(r#"{"channel":"news","data":"after"}"#).await;
    assert_eq!(stream.data_until("after").await, (vec!["before".to_owned(), "after".to_owned()], 0));
    assert_eq!(late.data_until("after").await, (vec!["after".to_owned()], 0));
}

#[tokio::test]
async fn redis_with_a_failing_disk_is_a_503_with_the_reason() {
    let redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &[]).await;
    let mut stream = hub.stream("/stream?channel=news").await;
    stream.until_live().await;
    // Redis cannot save without its folder.
    configure(&redis, "save", "3600 1");
    fs::remove_dir_all(redis.folder()).expect("the folder is there");
    redis.command(&["BGSAVE"]).expect("an answer");
    let failed = || redis.command(&["INFO", "persistence"]).is_some_and(|info| info.contains("bgsave_status:err"));
    eventually("saving fails", async || failed()).await;
    assert!(refused_detail(&hub).await.contains("MISCONF"));
    configure(&redis, "stop-writes-on-bgsave-error", "no");
    until_ready(&hub).await;
    hub.publish(r#"{"channel":"news","data":"after"}"#).await;
    assert_eq!(stream.data_until("after").await, (vec!["after".to_owned()], 0));
}
