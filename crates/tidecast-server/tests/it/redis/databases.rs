//! Hubs on one Redis server with different databases or prefixes share no channel.

use serde_json::{Value, json};
use tidecast_test::HubProcess;
use tidecast_test::redis::RedisServer;

use super::{hub_on, until_ready};
use crate::TIDECAST;

/// Starts three hubs on one server, with another database or another prefix each.
async fn separate_hubs(redis: &RedisServer, more: &[&str]) -> [HubProcess; 3] {
    let elsewhere = format!("redis://127.0.0.1:{}/1", redis.port);
    let other_database = TIDECAST.serve(&[&["--redis", &elsewhere], more].concat());
    until_ready(&other_database).await;
    let other_prefix = hub_on(redis, &[&["--redis-prefix", "other"], more].concat()).await;
    [hub_on(redis, more).await, other_database, other_prefix]
}

fn data(events: &Value) -> Vec<&str> {
    let events = events["events"].as_array().expect("an array");
    events.iter().map(|event| event["data"].as_str().expect("a string")).collect()
}

/// Redis publishes to all databases and knows no prefixes, so the hubs have to ignore foreign messages.
#[tokio::test]
async fn hubs_with_different_databases_or_prefixes_do_not_receive_each_others_events() {
    for compat in ["true", "false"] {
        let redis = RedisServer::start(&[]);
        let hubs = separate_hubs(&redis, &["--redis-compat", compat]).await;
        let mut streams = Vec::new();
        for hub in &hubs {
            let mut stream = hub.stream("/stream?channel=news").await;
            stream.until_live().await;
            streams.push(stream);
        }
        let mut positions: [Vec<String>; 3] = Default::default();
        for round in 0..20 {
            for (number, hub) in hubs.iter().enumerate() {
                let body = json!({ "channel": "news", "data": format!("{number}: {round}") });
                let response = hub.publish(&body.to_string()).await;
                positions[number].push(response["position"].as_str().expect("a position").to_owned());
            }
        }
        for (number, (hub, stream)) in hubs.iter().zip(&mut streams).enumerate() {
            let own: Vec<_> = (0..20).map(|round| format!("{number}: {round}")).collect();
            assert_eq!(stream.data_until(&own[19]).await, (own.clone(), 0), "compat {compat}");
            assert_eq!(stream.last_event_id(), positions[number][19]);
            assert_eq!(data(&hub.get("/channels/news/events").await.json()), own);
            let mut resumed = hub.stream(&format!("/stream?channel=news&last_event_id={}", positions[number][4])).await;
            assert_eq!(resumed.data_until(&own[19]).await, (own[5..].to_vec(), 0), "what is replayed");
            assert_eq!(hub.metric("tidecast_redis_foreign_events_total").await, 0);
            // The last foreign messages arrive after all of the hub's own.
            let elsewhere = if compat == "true" { 40 } else { 0 };
            hub.until_metric("tidecast_redis_elsewhere_events_total", elsewhere).await;
        }
    }
}
