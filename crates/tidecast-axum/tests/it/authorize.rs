//! The authorization hook: what it receives, and what it may return.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, body::Body, extract::Request, response::IntoResponse};
use http::{Method, StatusCode, header};
use tidecast::Hub;
use tidecast_axum::{Problem, StreamRequest, Streams};
use tokio::{sync::mpsc, time::Instant};

use crate::exchange::{get, get_after, rest, send};

/// The user that an earlier layer has authenticated.
#[derive(Debug, Clone, PartialEq)]
struct User(&'static str);

#[tokio::test]
async fn the_hook_receives_the_whole_request_and_every_channel_once() {
    let (asked, mut requests) = mpsc::unbounded_channel();
    let streams = Streams::new(Hub::new()).authorize(move |request: StreamRequest| {
        asked.send(request).unwrap();
        async { Ok::<(), Infallible>(()) }
    });
    let app = Router::new().nest("/live", streams.into_router()).layer(Extension(User("admin")));
    let mut request = get_after("/live?channel=b&token=t%20t&channel=a&channel=b&channel=", "7");
    request.headers_mut().insert(header::COOKIE, "session=1".parse().unwrap());
    assert_eq!(send(&app, request).await.status(), 200);

    let StreamRequest { parts, channels, .. } = requests.recv().await.unwrap();
    assert_eq!(channels, ["b", "a", "sse"]);
    assert_eq!(parts.method, Method::GET);
    assert_eq!(parts.uri.query(), Some("channel=b&token=t%20t&channel=a&channel=b&channel="));
    assert_eq!(parts.headers[header::COOKIE], "session=1");
    assert_eq!(parts.headers["last-event-id"], "7");
    assert_eq!(parts.extensions.get(), Some(&User("admin")));
}

#[tokio::test]
async fn the_hook_refuses_with_any_response_and_nothing_is_subscribed() {
    let hub = Hub::new();
    let app = Streams::new(hub.clone()).authorize(|_| async {
        Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "who are you?"))
    });
    let response = send(&app.into_router(), get("/?channel=a")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    assert_eq!(rest(response.into_body()).await, "who are you?");
    assert_eq!(hub.stats().subscribed, 0);
    assert!(hub.channels(None, 1).is_empty());
}

#[tokio::test]
async fn the_hook_may_return_problems_statuses_and_responses() {
    async fn status(decide: Streams) -> StatusCode {
        send(&decide.into_router(), get("/")).await.status()
    }
    let streams = || Streams::new(Hub::new());
    let problem = Problem::new(StatusCode::FORBIDDEN, "no");
    assert_eq!(status(streams().authorize(move |_| std::future::ready(Err(problem.clone())))).await, 403);
    assert_eq!(status(streams().authorize(|_| async { Err(StatusCode::NOT_FOUND) })).await, 404);
    let later = || tidecast_axum::retry_later(Duration::from_secs(9)).into_response();
    assert_eq!(status(streams().authorize(move |_| async move { Err(later()) })).await, 200);
    assert_eq!(status(streams().authorize(|_| async { Ok::<(), StatusCode>(()) })).await, 200);
}

#[tokio::test(start_paused = true)]
async fn the_hook_may_wait() {
    let streams = Streams::new(Hub::new()).authorize(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok::<(), StatusCode>(())
    });
    let asked_at = Instant::now();
    assert_eq!(send(&streams.into_router(), get("/")).await.status(), 200);
    assert_eq!(asked_at.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn the_hook_is_called_for_head_requests_and_not_for_invalid_ones() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let streams = Streams::new(Hub::new()).authorize(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err(StatusCode::FORBIDDEN) }
    });
    let app = streams.into_router();
    let request = |method, address: &str| Request::builder().method(method).uri(address).body(Body::empty()).unwrap();
    for (method, address, status, times) in [
        (Method::GET, "/", 403, 1),
        (Method::HEAD, "/", 403, 1),
        (Method::POST, "/", 405, 0),
        (Method::GET, "/?last=many", 400, 0),
        (Method::HEAD, "/?channel=%00", 400, 0),
    ] {
        asked.store(0, Ordering::Relaxed);
        let response = send(&app, request(method.clone(), address)).await;
        assert_eq!(response.status(), status, "{method} {address}");
        assert_eq!(asked.load(Ordering::Relaxed), times, "{method} {address}");
    }
}
