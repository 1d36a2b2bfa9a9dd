//! Responses that handlers create.

use std::time::Duration;

use axum::{Router, response::IntoResponse, routing};
use http::header;
use tidecast::{Hub, Start};
use tidecast_axum::{Sse, StreamOptions, internals::jitter, retry_later};

use crate::exchange::{data, get, messages, next, open, publish, rest};

#[tokio::test]
async fn a_handler_chooses_channels_and_options() {
    let hub = Hub::new();
    let handler = hub.clone();
    let app = Router::new().route(
        "/",
        routing::get(move || async move {
            let subscription = handler.subscribe(["orders", "prices"], Start::Last(1)).unwrap();
            let options = StreamOptions::default().retry(Duration::ZERO);
            Sse::new(subscription).options(options).open_event(true)
        }),
    );
    publish(&hub, "prices", "1");
    publish(&hub, "prices", "2");
    let (mut body, first) = open(&app, get("/")).await;
    assert!(first.starts_with(": tidecast\nretry: 0\n"), "{first}");
    assert_eq!(messages(&first)[0].event_type, "stream-open");
    assert_eq!(data(&next(&mut body).await), ["2"]);
}

/// Creating a response outside of a runtime must not panic. Another response then starts the sweeper.
#[test]
fn a_response_can_be_created_without_a_runtime() {
    let hub = Hub::new();
    let response = Sse::new(hub.subscribe(["sse"], Start::Live).unwrap()).into_response();
    assert_eq!(response.status(), 200);
    assert!(hub.sweeper().is_some());
}

#[tokio::test]
async fn retry_later_is_a_stream_with_one_block() {
    let response = retry_later(Duration::from_millis(12_345));
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache, no-transform");
    assert_eq!(rest(response.into_body()).await, "retry: 12345\n");
}

#[test]
fn a_time_is_drawn_from_the_whole_range() {
    let millis = Duration::from_millis;
    let mut drawn: Vec<_> = (0..1_000).map(|_| jitter(&(millis(1)..=millis(3)))).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn, [millis(1), millis(2), millis(3)]);
    assert_eq!(jitter(&(millis(7)..=millis(7))), millis(7));
    // An inverted range must not panic.
    let reversed = millis(9)..=millis(7);
    assert_eq!(jitter(&reversed), millis(9));
    assert!(jitter(&(Duration::MAX..=Duration::MAX)) > Duration::from_secs(1));
}
