//! A publish that is repeated with its idempotency key: one event, and the same response each time.

use serde_json::Value;
use tidecast_test::{request_bytes, within};
use tokio::task::JoinSet;

use crate::TIDECAST;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn ten_publishes_with_one_key_are_one_event() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    let mut responses = Vec::new();
    let mut later = Vec::new();
    for number in 0..10 {
        // The key is a header, a member, or both; the first body is published. Subscribers that connect in between do
        // not change the response.
        let member = format!(r#"{{"data":{number},"idempotency_key":"key ü"}}"#);
        let plain = format!(r#"{{"data":{number}}}"#);
        let header = ("Idempotency-Key", "key ü");
        let response = match number % 5 {
            0 => hub.request("POST", "/publish", &[JSON], member.as_bytes()).await,
            1 => hub.request("POST", "/publish", &[JSON, header], plain.as_bytes()).await,
            2 => hub.request("POST", "/publish", &[JSON, header], member.as_bytes()).await,
            3 => {
                let form = ("Content-Type", "application/x-www-form-urlencoded");
                hub.request("POST", "/publish", &[form], b"data=x&idempotency_key=key+%C3%BC").await
            }
            _ => {
                let target = "/publish?idempotency_key=key%20%C3%BC";
                hub.request("POST", target, &[("Content-Type", "text/plain")], b"x").await
            }
        };
        assert_eq!(response.head.status, 200, "{response:?}");
        let mut response = response.json();
        // The response did not say whether the event was published now or before.
        let repeated = response.as_object_mut().unwrap().remove("repeated");
        assert_eq!(repeated, (number > 0).then_some(Value::Bool(true)));
        response.as_object_mut().unwrap().remove("differs");
        responses.push(response);
        later.push(hub.stream("/stream").await);
    }
    assert_eq!(responses[0]["receivers"], 1);
    assert!(responses.iter().all(|response| *response == responses[0]), "{responses:?}");
    hub.publish(r#"{"data":"after"}"#).await;
    assert_eq!(stream.message().await.data, "0");
    assert_eq!(stream.message().await.data, "after");
    assert_eq!(hub.metric("tidecast_events_repeated_total").await, 9);
    assert_eq!(hub.metric("tidecast_events_published_total").await, 2);
}

#[tokio::test]
async fn concurrent_publishes_with_one_key_are_one_event() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    for round in 0..20 {
        let mut publishers = JoinSet::new();
        for number in 0..10 {
            let body = format!(r#"{{"data":"{number}","idempotency_key":"round {round}"}}"#);
            let bytes = request_bytes(hub.address, "POST", "/publish", &[JSON], body.as_bytes());
            let address = hub.address;
            publishers.spawn(async move {
                let mut connection = tidecast_test::HttpConnection::open(address).await;
                connection.send(&bytes).await;
                connection.response("POST").await
            });
        }
        let mut responses: Vec<Value> = Vec::new();
        while let Some(response) = within("publishing", publishers.join_next()).await {
            let mut response = response.unwrap().json();
            for flag in ["repeated", "differs"] {
                response.as_object_mut().unwrap().remove(flag);
            }
            responses.push(response);
        }
        assert_eq!(responses.len(), 10);
        assert!(
            responses.iter().all(|response| *response == responses[0] && response["receivers"] == 1),
            "{responses:?}"
        );
        let message = stream.message().await;
        assert_eq!(message.last_event_id, responses[0]["position"].as_str().unwrap());
    }
    assert_eq!(hub.metric("tidecast_events_published_total").await, 20);
    assert_eq!(hub.metric("tidecast_events_repeated_total").await, 180);
}

/// Some clients send the key in `X-Idempotency-Key` and repeat requests because of it. The header was ignored, so the
/// event was published twice.
#[tokio::test]
async fn a_key_in_x_idempotency_key_counts_too() {
    let hub = TIDECAST.serve(&[]);
    let text = ("Content-Type", "text/plain");
    for headers in [
        &[text, ("X-Idempotency-Key", "k")][..],
        &[text, ("Idempotency-Key", "k")],
        &[text, ("Idempotency-Key", "k"), ("X-Idempotency-Key", "k")],
    ] {
        let response = hub.request("POST", "/publish", headers, b"x").await;
        assert!(response.json()["position"].as_str().unwrap().ends_with(".1"), "{headers:?}: {response:?}");
    }
    let differ = [text, ("Idempotency-Key", "k"), ("X-Idempotency-Key", "l")];
    assert!(hub.request("POST", "/publish", &differ, b"x").await.problem(400).contains("differ"));
}

#[tokio::test]
async fn keys_of_different_channels_are_independent() {
    let hub = TIDECAST.serve(&[]);
    let mut offsets = Vec::new();
    for channel in ["a", "b", "a", "c", "b"] {
        let response = hub.publish(&format!(r#"{{"channel":"{channel}","data":1,"idempotency_key":"k"}}"#)).await;
        offsets.push(response["position"].as_str().unwrap().rsplit('.').next().unwrap().to_owned());
    }
    assert_eq!(offsets, ["1"; 5]);
    assert_eq!(hub.metric("tidecast_events_published_total").await, 3);
    // The same holds within one array.
    let both = hub.publish(r#"[{"data":1,"idempotency_key":"x"},{"data":2,"idempotency_key":"x"}]"#).await;
    assert_eq!((&both[0]["position"], &both[1]["repeated"]), (&both[1]["position"], &Value::Bool(true)));
}

/// Other data with a used key were dropped, and the response was 200 as if they had been published.
#[tokio::test]
async fn other_data_with_a_used_key_is_a_conflict_if_the_publisher_asks_for_it() {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let text = ("Content-Type", "text/plain");
    let in_address = "/publish?idempotency_key=k&idempotency_conflict=error";
    let hub = TIDECAST.serve(&[]);
    hub.publish(r#"{"data":"first","idempotency_key":"k"}"#).await;
    for (target, header, same, other) in [
        (
            "/publish",
            JSON,
            r#"{"data":"first","idempotency_key":"k","idempotency_conflict":"error"}"#,
            r#"{"data":"other","idempotency_key":"k","idempotency_conflict":"error"}"#,
        ),
        (
            "/publish",
            form,
            "data=first&idempotency_key=k&idempotency_conflict=error",
            "data=other&idempotency_key=k&idempotency_conflict=error",
        ),
        (in_address, text, "first", "other"),
        ("/publish", form, "data=first&idempotency_key=k", "data=other&idempotency_key=k&idempotency_conflict=error"),
    ] {
        let repeated = hub.request("POST", target, &[header], same.as_bytes()).await;
        assert_eq!((repeated.head.status, repeated.json()["repeated"].as_bool()), (200, Some(true)), "{repeated:?}");
        let conflict = hub.request("POST", target, &[header], other.as_bytes()).await;
        assert!(conflict.problem(409).contains("another event"), "{conflict:?}");
        assert_eq!(conflict.json()["position"], repeated.json()["position"]);
    }
    let ignored = hub.publish(r#"{"data":"other","idempotency_key":"k","idempotency_conflict":"ignore"}"#).await;
    assert_eq!((&ignored["repeated"], &ignored["differs"]), (&Value::Bool(true), &Value::Bool(true)));
    let same = hub.publish(r#"{"data":"first","idempotency_key":"k"}"#).await;
    assert_eq!((&same["repeated"], &same["differs"]), (&Value::Bool(true), &Value::Null));
    let batch = br#"[{"data":1},{"data":"other","idempotency_key":"k","idempotency_conflict":"error"},{"data":2}]"#;
    let response = hub.request("POST", "/publish", &[JSON], batch).await;
    // The earlier events are published, so the problem is about this one only.
    assert!(response.problem(409).contains("this event is not published"), "{response:?}");
    assert_eq!((response.problem(409).is_empty(), &response.json()["index"]), (false, &Value::from(1)));
    assert_eq!(response.json()["published"].as_array().map(Vec::len), Some(1));
    let wrong = br#"{"data":1,"idempotency_conflict":"perhaps"}"#;
    assert!(hub.request("POST", "/publish", &[JSON], wrong).await.problem(400).contains("`error` or `ignore`"));
    assert_eq!(hub.metric("tidecast_events_published_total").await, 2);
}

#[tokio::test]
async fn a_refused_publish_does_not_use_its_key() {
    let hub = TIDECAST.serve(&[]);
    let bad = br#"{"data":1,"type":"stream-open","idempotency_key":"k"}"#;
    hub.request("POST", "/publish", &[JSON], bad).await.problem(400);
    let response = hub.publish(r#"{"data":1,"idempotency_key":"k"}"#).await;
    assert!(response["position"].as_str().unwrap().ends_with(".1"), "{response}");
    assert_eq!(hub.metric("tidecast_events_repeated_total").await, 0);
}
