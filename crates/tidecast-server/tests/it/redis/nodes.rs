//! Several hubs as one: an event that is published at one hub reaches the readers of all, and a reader may move between
//! hubs at any time.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::{Value, json};
use tidecast::{Position, wire::Message};
use tidecast_test::{EventSource, HttpConnection, HubProcess, Signal, redis::RedisServer, request_bytes, within};
use tokio::task::JoinSet;

use super::hub_on;

const READERS: usize = 24;
const ROUNDS: usize = 300;
const LAST_WORD: &str = "the end";

/// Acknowledged events by their offset: the data and the publisher's id.
type Published = BTreeMap<u64, (String, Option<String>)>;

#[tokio::test]
async fn readers_of_a_killed_hub_resume_at_the_other() {
    let redis = RedisServer::start(&[]);
    let (mut one, other) = (hub_on(&redis, &[]).await, hub_on(&redis, &[]).await);
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let hub = if number % 4 == 0 { &other } else { &one };
        let mut source = hub.source("/stream?channel=news");
        source.connected().await.until_live().await;
        readers.spawn(read(source, other.address));
    }

    let mut published = Published::new();
    for round in 0..ROUNDS {
        // At both hubs while there are two; every third event has a publisher's id.
        let hub = if round < ROUNDS / 2 && round % 2 == 0 { &one } else { &other };
        let id = (round % 3 == 0).then(|| format!("own {round} ü"));
        publish(hub, &format!("known {round}"), id, &mut published).await;
        if round == ROUNDS / 2 {
            publish_without_reading_responses(&one).await;
            one.signal(Signal::KILL);
            one.ended().await;
        }
    }
    publish(&other, LAST_WORD, None, &mut published).await;

    let mut cuts = 0;
    let mut first: Option<Vec<String>> = None;
    while let Some(read) = within("the readers", readers.join_next()).await {
        let (messages, cut) = read.expect("a reader reads");
        cuts += cut;
        compare(&messages, &published);
        // An event that was not acknowledged arrived in the same place for all readers, or for none.
        let data: Vec<_> = messages.into_iter().map(|message| message.data).collect();
        assert_eq!(first.get_or_insert_with(|| data.clone()), &data);
    }
    assert_eq!(cuts, READERS - READERS / 4, "who was on the hub that was killed");
    for reason in ["expired", "restarted", "unknown-id", "too-slow"] {
        assert_eq!(other.metric(&format!("tidecast_resets_total{{reason=\"{reason}\"}}")).await, 0, "{reason}");
    }
}

#[tokio::test]
async fn an_idempotency_key_is_known_at_every_hub() {
    let redis = RedisServer::start(&[]);
    let (one, other) = (hub_on(&redis, &[]).await, hub_on(&redis, &[]).await);
    let mut stream = other.stream("/stream?channel=news").await;
    stream.until_live().await;
    let body = r#"{"channel":"news","data":"once","idempotency_key":"k"}"#;
    let first = one.publish(body).await;
    let mut again = other.publish(body).await;
    assert_eq!(again.as_object_mut().unwrap().remove("repeated"), Some(true.into()));
    assert_eq!(again, first, "answered as the first time");
    // Another event with the same key is a duplicate at every hub.
    let conflict = r#"{"channel":"news","data":"other","idempotency_key":"k","idempotency_conflict":"error"}"#;
    let json = ("Content-Type", "application/json");
    other.request("POST", "/publish", &[json], conflict.as_bytes()).await.problem(409);
    one.publish(r#"{"channel":"news","data":"more"}"#).await;
    assert_eq!(stream.data_until("more").await, (vec!["once".to_owned(), "more".to_owned()], 0));
}

#[tokio::test]
async fn a_deleted_channel_is_deleted_at_every_hub() {
    let redis = RedisServer::start(&[]);
    let (one, other) = (hub_on(&redis, &[]).await, hub_on(&redis, &[]).await);
    let mut stream = other.stream("/stream?channel=news").await;
    stream.until_live().await;
    one.publish(r#"{"channel":"news","data":"before"}"#).await;
    assert_eq!(stream.message().await.data, "before");
    assert_eq!(one.request("DELETE", "/channels/news", &[], b"").await.head.status, 204);
    assert_eq!(stream.reset().await["reason"], "restarted");
    one.publish(r#"{"channel":"news","data":"after"}"#).await;
    assert_eq!(stream.message().await.data, "after");
    let events = other.get("/channels/news/events").await.json();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(1), "{events}");
}

/// Reads to the last event. A reader whose hub dies moves to the other.
async fn read(mut source: EventSource, other: SocketAddr) -> (Vec<Message>, usize) {
    let (mut messages, mut cuts) = (Vec::new(), 0);
    loop {
        match source.message_or_cut().await {
            Some(message) if message.data == LAST_WORD => return (messages, cuts),
            Some(message) => messages.push(message),
            None => {
                cuts += 1;
                assert_eq!(cuts, 1, "one hub is killed");
                assert!(source.move_to(other).is_empty(), "all that was complete was taken");
            }
        }
    }
}

async fn publish(hub: &HubProcess, data: &str, id: Option<String>, published: &mut Published) {
    let response = hub.publish(&json!({ "channel": "news", "data": data, "id": id }).to_string()).await;
    let position: Position = response["position"].as_str().and_then(|text| text.parse().ok()).expect("a position");
    assert_eq!(response["id"], id.clone().map_or_else(|| position.to_string().into(), Value::from));
    let before = published.insert(position.offset, (data.to_owned(), id));
    assert!(before.is_none(), "two events at {position}");
}

/// Sends publishes without reading the responses: the hub is killed while it handles them.
async fn publish_without_reading_responses(hub: &HubProcess) {
    let mut connection = HttpConnection::open(hub.address).await;
    for number in 0..50 {
        let body = json!({ "channel": "news", "data": format!("unknown {number}") }).to_string();
        let headers = [("Content-Type", "application/json")];
        connection.send(&request_bytes(hub.address, "POST", "/publish", &headers, body.as_bytes())).await;
    }
    // The first request is under way, so that the hub is killed in the middle.
    assert_eq!(connection.head().await.status, 200);
}

fn compare(messages: &[Message], published: &Published) {
    assert!(messages.iter().all(|message| message.event_type == "message"), "a reset, with nothing missing");
    let known: Vec<_> = messages.iter().filter(|message| message.data.starts_with("known ")).collect();
    let data: Vec<_> = known.iter().map(|message| message.data.as_str()).collect();
    let expected: Vec<_> = published.values().filter(|(data, _)| data != LAST_WORD).collect();
    let expected_data: Vec<_> = expected.iter().map(|(data, _)| data.as_str()).collect();
    assert_eq!(data, expected_data);
    for (message, (_, id)) in known.iter().zip(expected) {
        if let Some(id) = id {
            assert_eq!(message.last_event_id, *id);
        }
    }
}
