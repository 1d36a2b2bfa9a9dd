//! `/channels`, probes and metrics report what happened.

use std::collections::BTreeMap;

use serde_json::json;
use tidecast_test::percent_encode;

use crate::{
    TIDECAST,
    support::metrics::{documented_names, scraped_names},
};

#[tokio::test]
async fn channels_are_listed_in_pages_ordered_by_name() {
    let hub = TIDECAST.serve(&[]);
    assert_eq!(hub.get("/channels").await.json(), json!({ "channels": [], "next": null }));
    let names: Vec<_> = (0..1_200).map(|number| format!("c{number:04}/ü")).collect();
    for half in names.chunks(600) {
        let events: Vec<_> = half.iter().map(|name| json!({ "channel": name, "data": 1 })).collect();
        hub.publish(&json!(events).to_string()).await;
    }
    let first = hub.get("/channels").await.json();
    let listed = |page: &serde_json::Value| -> Vec<String> {
        let channels = page["channels"].as_array().unwrap();
        channels.iter().map(|channel| channel["channel"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&first), names[..1_000]);
    assert_eq!(first["next"], names[999]);
    let second = hub.get(&format!("/channels?after={}", percent_encode(first["next"].as_str().unwrap()))).await.json();
    assert_eq!(listed(&second), names[1_000..]);
    assert_eq!(second["next"], json!(null));
    // A page may begin after a name that no channel has.
    assert_eq!(listed(&hub.get("/channels?after=c1198").await.json()), names[1_198..]);
    assert_eq!(listed(&hub.get("/channels?after=zzz").await.json()), [""; 0]);
    // A page that ends with the last channel has no `next`.
    assert_eq!(hub.get(&format!("/channels?after={}", percent_encode(&names[199]))).await.json()["next"], json!(null));
    hub.get("/channels?after=%ff").await.problem(400);
    assert!(hub.get("/channels?afer=a").await.problem(400).contains("did you mean `after`"));
}

/// Only `chat%2F1` was found, which some proxies decode.
#[tokio::test]
async fn a_name_may_contain_slashes() {
    let hub = TIDECAST.serve(&[]);
    for name in ["chat/1", "chat/1/events"] {
        hub.publish(&json!({ "channel": name, "data": name }).to_string()).await;
    }
    assert_eq!(hub.get("/channels/chat/1").await.json()["channel"], "chat/1");
    let events = hub.get("/channels/chat/1/events?last=5").await.json();
    assert_eq!((&events["channel"], &events["events"][0]["data"]), (&json!("chat/1"), &json!("chat/1")));
    assert!(hub.get("/channels/chat/1/events?last=1001").await.problem(400).contains("from 0 to 1000"));
    assert_eq!(hub.get("/channels/chat/1%2Fevents").await.json()["channel"], "chat/1/events");
    assert_eq!(hub.get("/channels/chat/1%2Fevents/events").await.json()["events"][0]["data"], "chat/1/events");
    hub.request("DELETE", "/channels/chat/1/events", &[], b"").await.problem(405);
    for path in ["/channels/chat/1", "/channels/chat/1%2Fevents"] {
        assert_eq!(hub.request("DELETE", path, &[], b"").await.head.status, 204, "{path}");
        hub.get(path).await.problem(404);
    }
}

/// A shell printed its prompt in the last line of a response, and a browser could mistake published data for a page.
#[tokio::test]
async fn every_response_ends_with_a_line_end_and_has_the_right_content_type() {
    let hub = TIDECAST.serve(&[]);
    for _ in 0..2 {
        // The fast path gives the first response and hyper the second.
        for headers in
            [&[("Content-Type", "text/plain")][..], &[("Content-Type", "text/plain"), ("Connection", "close")]]
        {
            let response = hub.request("POST", "/publish", headers, b"x").await;
            assert!(response.text().ends_with("}\n"), "{response:?}");
            assert_eq!(response.head.header("x-content-type-options"), Some("nosniff"));
        }
    }
    let batch = hub.request("POST", "/publish", &[("Content-Type", "application/json")], br#"[{"data":1}]"#).await;
    assert!(batch.text().ends_with("}]\n"), "{batch:?}");
    for target in [
        "/channels",
        "/channels/sse",
        "/channels/sse/events",
        "/metrics",
        "/healthz",
        "/readyz",
        "/nothing",
        "/publish",
    ] {
        let response = hub.get(target).await;
        assert!(response.text().ends_with('\n') && !response.text().ends_with("\n\n"), "{target}: {response:?}");
        assert_eq!(response.head.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(response.head.header("cache-control"), Some("no-store"), "{target}");
    }
    let stream = hub.stream("/stream").await;
    assert_eq!(stream.head.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(stream.head.header("cache-control"), Some("no-cache, no-transform"));
}

#[tokio::test]
async fn names_with_special_characters_are_found_by_their_escaped_form() {
    let hub = TIDECAST.serve(&[]);
    for name in
        ["a/b", "/", "//x", ".", "..", "a b", "ü🌊", "100%", "%2f", "a?b#c", "{name}", "*", "a+b", "events", "\u{2028}"]
    {
        hub.publish(&json!({ "channel": name, "data": name, "type": "t", "id": "own" }).to_string()).await;
        let path = format!("/channels/{}", percent_encode(name));
        let stream = hub.stream(&format!("/stream?channel={}", percent_encode(name))).await;
        let channel = hub.get(&path).await.json();
        assert_eq!(
            (&channel["channel"], &channel["events"], &channel["subscribers"]),
            (&json!(name), &json!(1), &json!(1))
        );
        assert!(channel["bytes"].as_u64().unwrap() > 0 && channel["tail"] != channel["head"], "{channel}");
        let events = hub.get(&format!("{path}/events")).await.json();
        let expected = json!([{ "id": "own", "position": channel["head"], "type": "t", "data": name }]);
        assert_eq!(events, json!({ "channel": name, "events": expected }));
        assert_eq!(hub.request("DELETE", &path, &[], b"").await.head.status, 204, "{name}");
        drop(stream);
    }
}

#[tokio::test]
async fn past_events_are_returned_in_order() {
    let hub = TIDECAST.serve(&["--log-events", "150"]);
    for _ in 0..2 {
        let batch: Vec<_> = (0..100).map(|number| json!({ "channel": "a", "data": number })).collect();
        hub.publish(&json!(batch).to_string()).await;
    }
    let ask = async |query: &str| hub.get(&format!("/channels/a/events{query}")).await;
    let count = async |query: &str| ask(query).await.json()["events"].as_array().unwrap().len();
    assert_eq!(count("").await, 100, "without a number it is a hundred");
    assert_eq!(count("?last=0").await, 0);
    assert_eq!(count("?last=1000").await, 150, "no more than the log has");
    let two = ask("?last=2").await.json();
    assert_eq!((&two["events"][0]["data"], &two["events"][1]["data"]), (&json!("98"), &json!("99")));
    assert_eq!(count("?last=").await, 100, "an empty number is none");
    for query in ["?last=1001", "?last=-1", "?last=x", "?last=%ff"] {
        assert!(ask(query).await.problem(400).contains("`last`"), "{query}");
    }
    assert!(ask("?limit=5").await.problem(400).contains("did you mean `last`"));
    assert_eq!(count("?_=1700000000").await, 100, "what gets past a cache is passed over");
    hub.get("/channels/unknown/events").await.problem(404);
    hub.get("/channels/unknown").await.problem(404);
}

#[tokio::test]
async fn readers_of_a_deleted_channel_get_a_reset() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream?channel=a").await;
    let before = hub.publish(r#"{"channel":"a","data":1}"#).await;
    assert_eq!(stream.message().await.data, "1");
    let response = hub.request("DELETE", "/channels/a", &[], b"").await;
    assert_eq!((response.head.status, response.body.len()), (204, 0));
    let reset = stream.reset().await;
    assert_eq!((reset["channel"].as_str(), reset["reason"].as_str()), (Some("a"), Some("restarted")));
    let after = hub.publish(r#"{"channel":"a","data":2}"#).await;
    assert_ne!(before["position"], after["position"]);
    assert_eq!(stream.message().await.data, "2");
    assert_eq!(hub.metric("tidecast_resets_total{reason=\"restarted\"}").await, 1);

    hub.request("DELETE", "/channels/b", &[], b"").await.problem(404);
    hub.publish(r#"{"channel":"b","data":1}"#).await;
    assert_eq!(hub.request("DELETE", "/channels/b", &[], b"").await.head.status, 204);
    hub.request("DELETE", "/channels/b", &[], b"").await.problem(404);
}

#[tokio::test]
async fn probes_answer() {
    let hub = TIDECAST.serve(&[]);
    assert_eq!(hub.get("/healthz").await.text(), "alive\n");
    assert_eq!(hub.get("/readyz").await.text(), "ready\n");
    let page = hub.get("/").await;
    assert_eq!(page.head.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.head.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
}

/// Returns every number of a scrape by its name with labels. A malformed scrape fails the test.
fn parse(scrape: &str) -> BTreeMap<String, u64> {
    let body = scrape.strip_suffix("# EOF\n").expect("a scrape says where it ends");
    let mut kinds = BTreeMap::new();
    let mut numbers = BTreeMap::new();
    for line in body.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} is there twice");
        } else if !line.starts_with("# HELP ") && !line.starts_with("# UNIT ") {
            let (name, number) = line.rsplit_once(' ').unwrap();
            let family = name.split('{').next().unwrap();
            let kind = kinds.get(family.strip_suffix("_total").unwrap_or(family));
            let expected = if family.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(kind, Some(&expected), "{line}");
            assert!(numbers.insert(name.to_owned(), number.parse().unwrap()).is_none(), "{name} is there twice");
        }
    }
    numbers
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let hub = TIDECAST.serve(&["--streams-max", "2"]);
    let mut both = hub.stream("/stream?channel=a&channel=b").await;
    let mut one = hub.stream("/stream?channel=a&last_event_id=x").await;
    one.reset().await;
    hub.stream("/stream").await.rest().await;
    for body in [r#"{"channel":"a","data":1}"#, r#"[{"channel":"a","data":2},{"channel":"b","data":3}]"#] {
        hub.publish(body).await;
    }
    for _ in 0..2 {
        hub.publish(r#"{"channel":"c","data":4,"idempotency_key":"k"}"#).await;
    }
    hub.request("POST", "/publish", &[], b"").await.problem(415);
    for _ in 0..3 {
        both.message().await;
    }
    for _ in 0..2 {
        one.message().await;
    }
    let response = hub.get("/metrics").await;
    assert_eq!(
        response.head.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let is_refusal = |name: &String| name.starts_with("tidecast_requests_refused_total{cause=");
    let (refused, numbers): (BTreeMap<_, _>, BTreeMap<_, _>) =
        parse(&response.text()).into_iter().partition(|(name, _)| is_refusal(name));
    assert!(refused.len() == 10 && refused.values().all(|count| *count == 0), "{refused:?}");
    assert_eq!(scraped_names(&response.text()), documented_names("## Of a hub on Redis"));
    let expected: &[(&str, u64)] = &[
        ("events_published_total", 4),
        ("events_repeated_total", 1),
        ("publishes_failed_total", 0),
        ("events_delivered_total", 5),
        ("logs_evicted_total", 0),
        ("subscriptions_opened_total", 2),
        ("connections_stalled_total", 0),
        ("subscriptions", 2),
        ("streams", 2),
        ("channels", 3),
        ("log_events", 4),
        ("resets_total{reason=\"expired\"}", 0),
        ("resets_total{reason=\"restarted\"}", 0),
        ("resets_total{reason=\"unknown-id\"}", 1),
        ("resets_total{reason=\"too-slow\"}", 0),
        ("streams_refused_total{reason=\"full\"}", 1),
        ("streams_refused_total{reason=\"client-full\"}", 0),
        ("streams_refused_total{reason=\"ending\"}", 0),
        ("streams_refused_total{reason=\"channels-full\"}", 0),
        ("resets_total{reason=\"ambiguous-id\"}", 0),
        ("log_lines_dropped_total", 0),
        ("tasks_restarted_total", 0),
        ("connections_closed_total{reason=\"idle\"}", 0),
        ("connections_closed_total{reason=\"client-full\"}", 0),
        ("connections_closed_total{reason=\"input\"}", 0),
    ];
    for (name, number) in expected {
        assert_eq!(numbers.get(&format!("tidecast_{name}")), Some(number), "{name} in {numbers:?}");
    }
    // Three streams, four publishes, one refusal and this scrape.
    assert_eq!(numbers["tidecast_connections_accepted_total"], 9);
    assert!(numbers["tidecast_connections"] >= 3);
    assert!(numbers["tidecast_delivered_bytes_total"] > 0 && numbers["tidecast_logs_bytes"] > 0);
    let open = [
        "connections_accepted_total",
        "connections_detached_total",
        "connections",
        "delivered_bytes_total",
        "logs_bytes",
    ];
    assert_eq!(numbers.len(), expected.len() + open.len(), "a metric that no test knows: {numbers:?}");

    // The refused request is not counted as a stream.
    hub.until_metric("tidecast_connections_detached_total", 2).await;
    drop((both, one));
    hub.until_metric("tidecast_subscriptions", 0).await;
    hub.until_metric("tidecast_streams", 0).await;
    hub.until_metric("tidecast_connections", 1).await;
}
