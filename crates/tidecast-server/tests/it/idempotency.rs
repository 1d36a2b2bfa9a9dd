//! A publish that is repeated under its key: one event, and the same answer each time.

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Hub, request, within};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn ten_publishes_with_one_key_are_one_event() {
    let hub = Hub::start(&[]);
    let mut stream = hub.stream("/stream").await;
    let mut answers = Vec::new();
    let mut later = Vec::new();
    for number in 0..10 {
        // The key comes as header, member, and both; the first body wins. Subscribers who come in between do not change
        // what is answered.
        let member = format!(r#"{{"data":{number},"idempotency_key":"key ü"}}"#);
        let plain = format!(r#"{{"data":{number}}}"#);
        let header = ("Idempotency-Key", "key ü");
        let answer = match number % 5 {
            0 => hub.ask("POST", "/publish", &[JSON], member.as_bytes()).await,
            1 => hub.ask("POST", "/publish", &[JSON, header], plain.as_bytes()).await,
            2 => hub.ask("POST", "/publish", &[JSON, header], member.as_bytes()).await,
            3 => {
                let form = ("Content-Type", "application/x-www-form-urlencoded");
                hub.ask("POST", "/publish", &[form], b"data=x&idempotency_key=key+%C3%BC").await
            }
            _ => {
                let target = "/publish?idempotency_key=key%20%C3%BC";
                hub.ask("POST", target, &[("Content-Type", "text/plain")], b"x").await
            }
        };
        assert_eq!(answer.head.status, 200, "{answer:?}");
        answers.push(answer.json());
        later.push(hub.stream("/stream").await);
    }
    assert_eq!(answers[0]["receivers"], 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    hub.publish(r#"{"data":"after"}"#).await;
    assert_eq!(stream.message().await.data, "0");
    assert_eq!(stream.message().await.data, "after");
    assert_eq!(hub.metric("tidecast_events_repeated_total").await, 9);
    assert_eq!(hub.metric("tidecast_events_published_total").await, 2);
}

#[tokio::test]
async fn concurrent_publishes_with_one_key_are_one_event() {
    let hub = Hub::start(&[]);
    let mut stream = hub.stream("/stream").await;
    for round in 0..20 {
        let mut publishers = JoinSet::new();
        for number in 0..10 {
            let body = format!(r#"{{"data":"{number}","idempotency_key":"round {round}"}}"#);
            let bytes = request(hub.address, "POST", "/publish", &[JSON], body.as_bytes());
            let address = hub.address;
            publishers.spawn(async move {
                let mut connection = crate::support::Connection::open(address).await;
                connection.send(&bytes).await;
                connection.answer("POST").await
            });
        }
        let mut answers: Vec<Value> = Vec::new();
        while let Some(answer) = within("publishing", publishers.join_next()).await {
            answers.push(answer.unwrap().json());
        }
        assert_eq!(answers.len(), 10);
        assert!(answers.iter().all(|answer| *answer == answers[0] && answer["receivers"] == 1), "{answers:?}");
        let message = stream.message().await;
        assert_eq!(message.last_event_id, answers[0]["position"].as_str().unwrap());
    }
    assert_eq!(hub.metric("tidecast_events_published_total").await, 20);
    assert_eq!(hub.metric("tidecast_events_repeated_total").await, 180);
}

/// Some clients send the key under this name, and repeat a request by themselves because of it. It was passed over, and
/// the event was there twice.
#[tokio::test]
async fn a_key_counts_under_the_name_with_x_too() {
    let hub = Hub::start(&[]);
    let text = ("Content-Type", "text/plain");
    for headers in [
        &[text, ("X-Idempotency-Key", "k")][..],
        &[text, ("Idempotency-Key", "k")],
        &[text, ("Idempotency-Key", "k"), ("X-Idempotency-Key", "k")],
    ] {
        let answer = hub.ask("POST", "/publish", headers, b"x").await;
        assert!(answer.json()["position"].as_str().unwrap().ends_with(".1"), "{headers:?}: {answer:?}");
    }
    let differ = [text, ("Idempotency-Key", "k"), ("X-Idempotency-Key", "l")];
    assert!(hub.ask("POST", "/publish", &differ, b"x").await.problem(400).contains("differ"));
}

#[tokio::test]
async fn a_key_is_of_its_channel() {
    let hub = Hub::start(&[]);
    let mut offsets = Vec::new();
    for channel in ["a", "b", "a", "c", "b"] {
        let answer = hub.publish(&format!(r#"{{"channel":"{channel}","data":1,"idempotency_key":"k"}}"#)).await;
        offsets.push(answer["position"].as_str().unwrap().rsplit('.').next().unwrap().to_owned());
    }
    assert_eq!(offsets, ["1"; 5]);
    assert_eq!(hub.metric("tidecast_events_published_total").await, 3);
    // Within one array too.
    let both = hub.publish(r#"[{"data":1,"idempotency_key":"x"},{"data":2,"idempotency_key":"x"}]"#).await;
    assert_eq!(both[0], both[1]);
}

#[tokio::test]
async fn a_refused_publish_does_not_use_up_its_key() {
    let hub = Hub::start(&[]);
    let bad = br#"{"data":1,"type":"stream-open","idempotency_key":"k"}"#;
    hub.ask("POST", "/publish", &[JSON], bad).await.problem(400);
    let answer = hub.publish(r#"{"data":1,"idempotency_key":"k"}"#).await;
    assert!(answer["position"].as_str().unwrap().ends_with(".1"), "{answer}");
    assert_eq!(hub.metric("tidecast_events_repeated_total").await, 0);
}
