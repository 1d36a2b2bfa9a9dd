//! The permissions that `docs/redis.md` lists for a hub's user are sufficient, as Redis' log of refused commands shows.

use std::{fs, path::Path};

use tidecast_test::redis::RedisServer;

use super::until_ready;
use crate::TIDECAST;

/// Returns the ACL rule of the page.
fn documented_rule() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redis.md");
    let page = fs::read_to_string(page).expect("the page on Redis");
    let rule = page.lines().find(|line| line.starts_with("ACL SETUSER ")).expect("a rule on the page");
    rule.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_documented_permissions_are_sufficient() {
    let redis = RedisServer::start(&[]);
    let rule = documented_rule();
    let response = redis.command(&rule.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(response.as_deref(), Some("+OK\r\n"), "{rule:?}");
    let url = format!("redis://tidecast:choose-one@127.0.0.1:{}/3", redis.port);
    for arguments in [&["--redis", url.as_str()][..], &["--redis", &url, "--redis-history-events", "0"]] {
        // Soon silent, so that the hub probes it and compares its heads.
        let often = ["--redis-probe-interval", "100ms", "--redis-compare-interval", "100ms"];
        let hub = TIDECAST.serve(&[arguments, &often].concat());
        until_ready(&hub).await;
        let mut stream = hub.stream("/stream?channel=news").await;
        stream.until_live().await;
        for data in ["one", "two"] {
            hub.publish(&format!(r#"{{"channel":"news","data":"{data}","idempotency_key":"{data}"}}"#)).await;
        }
        stream.data_until("two").await;
        hub.get("/channels/news/events").await;
        assert_eq!(hub.request("DELETE", "/channels/news", &[], b"").await.head.status, 204);
        stream.reset().await;
        hub.publish(r#"{"channel":"news","data":"three"}"#).await;
        stream.data_until("three").await;
        let mut resumed = hub.stream(&format!("/stream?channel=news&last_event_id={}", stream.last_event_id())).await;
        resumed.until_live().await;
        // Released, so that the hub unsubscribes.
        drop((stream, resumed));
        hub.until_metric("tidecast_redis_channels_subscribed", 0).await;
        hub.request("DELETE", "/channels/news", &[], b"").await;
    }
    assert_eq!(redis.command(&["ACL", "LOG"]).as_deref(), Some("*0\r\n"), "nothing was refused");
}
