//! Channel names that have a meaning in Redis, or could have one. Each is a separate channel on every hub.

use serde_json::json;
use tidecast_test::{percent_encode, redis::RedisServer};

use super::hub_on;

const NAMES: [&str; 26] = [
    "sse",
    "{",
    "}",
    "{}",
    "{a}",
    "{b}",
    "a{b}c",
    "a}b{c",
    "{a}{b}",
    "{{a}}",
    "a b",
    " a b ",
    "ünï🌊",
    "u\u{308}nï🌊",
    "\u{2028}",
    "%7Ba%7D",
    "%",
    "a:b",
    "*",
    "[ab]",
    "\\",
    "\"",
    "tidecast",
    "tidecast:{sse}:meta",
    "tidecast:{sse}:events",
    "tidecast:0:sse",
];

#[tokio::test]
async fn every_name_is_a_separate_channel() {
    let longest = "ü".repeat(127);
    let names: Vec<&str> = NAMES.into_iter().chain(["tidecast:0:control", "__keyspace@0__:a", &longest]).collect();
    for compat in ["true", "false"] {
        let redis = RedisServer::start(&[]);
        let one = hub_on(&redis, &["--redis-compat", compat]).await;
        let other = hub_on(&redis, &["--redis-compat", compat]).await;
        let mut streams = Vec::new();
        for name in &names {
            let mut stream = other.stream(&format!("/stream?channel={}", percent_encode(name))).await;
            stream.until_live().await;
            streams.push(stream);
        }
        for round in ["first", "last"] {
            for name in &names {
                let body = json!({ "channel": name, "data": format!("{round} {name}"), "type": "t", "id": "own" });
                assert_eq!(one.publish(&body.to_string()).await["channel"], *name);
            }
        }
        for (name, stream) in names.iter().zip(&mut streams) {
            let both = [format!("first {name}"), format!("last {name}")];
            assert_eq!(stream.data_until(&both[1]).await, (both.to_vec(), 0), "{name} with compat {compat}");
        }
        // A hub without readers gets all events from Redis.
        let third = hub_on(&redis, &["--redis-compat", compat]).await;
        for name in &names {
            let events = third.get(&format!("/channels/{}/events", percent_encode(name))).await.json();
            assert_eq!(events["channel"], *name);
            let events = events["events"].as_array().expect("an array");
            let data: Vec<_> = events.iter().map(|event| event["data"].as_str().expect("a string")).collect();
            assert_eq!(data, [format!("first {name}"), format!("last {name}")], "{name} with compat {compat}");
        }
        for hub in [&one, &other, &third] {
            assert_eq!(hub.metric("tidecast_redis_poison_payloads_total").await, 0);
            assert_eq!(hub.metric("tidecast_redis_foreign_events_total").await, 0);
        }
        // Deleting one channel leaves the others alone.
        assert_eq!(
            one.request("DELETE", &format!("/channels/{}", percent_encode("{a}")), &[], b"").await.head.status,
            204
        );
        for (name, count) in [("{a}", 0), ("{b}", 2), ("{{a}}", 2), ("%7Ba%7D", 2)] {
            let events = third.get(&format!("/channels/{}/events", percent_encode(name))).await.json();
            assert_eq!(events["events"].as_array().map_or(0, Vec::len), count, "{name} with compat {compat}");
        }
    }
}
