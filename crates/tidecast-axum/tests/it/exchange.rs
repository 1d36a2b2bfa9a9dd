//! Requests to a router, and the parts of responses that tests check.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use http_body_util::BodyExt;
use tidecast::{
    Event, Hub, Published,
    wire::{Decoder, Item, Message},
};
use tower::ServiceExt;

/// Returns a `GET` request as a browser's `EventSource` sends it.
pub(crate) fn get(address: &str) -> Request {
    Request::get(address)
        .header("cache-control", "no-cache")
        .header("user-agent", "Mozilla/5.0 (X11)")
        .body(Body::empty())
        .unwrap()
}

/// Returns a `GET` request of a client that resumes.
pub(crate) fn get_after(address: &str, last_event_id: &str) -> Request {
    let mut request = get(address);
    request.headers_mut().insert("last-event-id", last_event_id.parse().unwrap());
    request
}

/// Sends a request to a router.
pub(crate) async fn send(app: &Router, request: Request) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

/// Opens a stream and reads its first block.
pub(crate) async fn open(app: &Router, request: Request) -> (Body, String) {
    let response = send(app, request).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let first = next(&mut body).await;
    (body, first)
}

/// Reads the next chunk of a body.
pub(crate) async fn next(body: &mut Body) -> String {
    try_next(body).await.expect("the body goes on")
}

/// Reads the next chunk of a body. Returns `None` at its end.
pub(crate) async fn try_next(body: &mut Body) -> Option<String> {
    let bytes = body.frame().await?.unwrap().into_data().unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

/// Returns whether a body has nothing to send now.
pub(crate) fn is_silent(body: &mut Body) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(http_body::Body::poll_frame(Pin::new(body), &mut context), Poll::Pending)
}

/// Reads the rest of a body.
pub(crate) async fn rest(body: Body) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) fn publish(hub: &Hub, channel: &str, data: &str) -> Published {
    hub.publish_now(channel, Event::text(data)).unwrap()
}

/// Returns the events that a browser would dispatch.
pub(crate) fn messages(stream: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    let keep = |item| {
        if let Item::Message(message) = item {
            messages.push(message);
        }
    };
    Decoder::new().feed(stream.as_bytes(), keep).unwrap();
    messages
}

/// Returns the data of the events that a browser would dispatch.
pub(crate) fn data(stream: &str) -> Vec<String> {
    messages(stream).into_iter().map(|message| message.data).collect()
}
