//! Errors as problem documents.

use std::time::Duration;

use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde_json::{Value, json};
use tidecast::{Channel, Error, Event, Hub, Limits};
use tidecast_axum::Problem;

use crate::exchange::rest;

async fn document(problem: Problem) -> Value {
    let response = problem.into_response();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let status = response.status().as_u16();
    let document: Value = serde_json::from_str(&rest(response.into_body()).await).unwrap();
    assert_eq!(document["status"], status);
    document
}

#[tokio::test]
async fn a_problem_has_the_members_of_its_document() {
    let problem = Problem::new(StatusCode::IM_A_TEAPOT, "a \"quoted\"\nsentence").with("index", 3).with("at", "a");
    let expected = json!({
        "type": "about:blank",
        "title": "I'm a teapot",
        "status": 418,
        "detail": "a \"quoted\"\nsentence",
        "index": 3,
        "at": "a",
    });
    assert_eq!(document(problem).await, expected);
}

#[tokio::test]
async fn a_status_without_a_standard_name_has_a_title() {
    let problem = Problem::new(StatusCode::from_u16(499).unwrap(), "gone");
    assert_eq!(document(problem).await["title"], "Error");
}

#[test]
fn a_temporary_problem_has_a_retry_after() {
    let retry_after = |problem: Problem| problem.into_response().headers().get(header::RETRY_AFTER).cloned();
    assert_eq!(retry_after(Error::unavailable("the broker is away").into()).unwrap(), "1");
    assert_eq!(retry_after(Channel::new("").unwrap_err().into()), None);
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "slower").retry_after(Duration::from_millis(1_001));
    assert_eq!(retry_after(problem).unwrap(), "2", "rounded up: earlier would be too early");
}

#[tokio::test]
async fn every_error_of_the_engine_has_a_status() {
    let mut limits = Limits::default();
    limits.event_data_bytes_max = 1;
    let hub = Hub::builder().limits(limits).build();
    let too_large = hub.publish_now("sse", Event::text("ab")).unwrap_err();
    hub.close();
    for (error, status) in [
        (Channel::new("").unwrap_err(), 400),
        (too_large, 413),
        (Error::unavailable("the broker is away"), 503),
        (hub.publish_now("sse", Event::text("")).unwrap_err(), 503),
    ] {
        let detail = error.to_string();
        let document = document(error.into()).await;
        assert_eq!(document["status"], status);
        assert_eq!(document["detail"], detail);
    }
}
