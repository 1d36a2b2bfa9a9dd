//! The endpoint's routes and its responses.

use axum::{Router, body::Body, extract::Request};
use http::{Method, StatusCode, header};
use tidecast::Hub;
use tidecast_axum::{Sse, Streams, router};

use crate::exchange::{data, get, get_after, messages, next, open, publish, rest, send};

/// axum nests a router under its path as written, so the same path with a slash is another one. This test notices a
/// change of that.
#[tokio::test]
async fn the_router_nests_under_any_path() {
    let hub = Hub::new();
    let nested = Router::new().nest("/stream", router(hub.clone()));
    let deep = Router::new().nest("/api", Router::new().nest("/v1/{tenant}/live", router(hub.clone())));
    let with_slash = Router::new().nest("/stream/", router(hub.clone()));
    let merged = Router::new().merge(router(hub.clone()));
    let routed = Router::new().route("/events", Streams::new(hub).into_method_router());
    for (app, address, expected) in [
        (&nested, "/stream", 200),
        (&nested, "/stream?channel=a", 200),
        (&nested, "/stream/", 404),
        (&nested, "/stream/a", 404),
        (&nested, "/", 404),
        (&deep, "/api/v1/someone/live", 200),
        (&deep, "/api/v1/live", 404),
        (&with_slash, "/stream/", 200),
        (&with_slash, "/stream", 404),
        (&merged, "/", 200),
        (&merged, "/?channel=a", 200),
        (&routed, "/events", 200),
        (&routed, "/events/", 404),
    ] {
        assert_eq!(send(app, get(address)).await.status(), expected, "{address}");
    }
}

#[tokio::test]
async fn the_router_works_beside_routes_with_a_state() {
    let app = Router::new()
        .route("/", axum::routing::get(|state: axum::extract::State<&'static str>| async move { state.0 }))
        .nest("/stream", router(Hub::new()))
        .with_state("the application's");
    assert_eq!(rest(send(&app, get("/")).await.into_body()).await, "the application's");
    assert_eq!(send(&app, get("/stream")).await.status(), 200);
}

#[tokio::test]
async fn the_head_forbids_proxies_to_change_the_stream() {
    let app = router(Hub::new());
    for method in [Method::GET, Method::HEAD] {
        let request = Request::builder().method(&method).body(Body::empty()).unwrap();
        let response = send(&app, request).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "text/event-stream; charset=utf-8");
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
        assert!(!headers.contains_key(header::CONTENT_LENGTH), "{method}: {headers:?}");
    }
}

#[tokio::test]
async fn the_first_block_is_sent_at_once_with_the_cursor() {
    let hub = Hub::new();
    let published = publish(&hub, "sse", "before");
    let (_body, first) = open(&router(hub), get("/")).await;
    assert_eq!(first, format!(": tidecast\nretry: 3000\nid: {}\n\n", published.position));
    assert!(messages(&first).is_empty());
}

/// A browser's `EventSource` takes an id at an empty line only. Other clients deliver a message for each empty line, so
/// the first message was empty, and a page that parses JSON failed on it.
#[tokio::test]
async fn only_the_first_block_for_an_event_source_has_an_empty_line() {
    let hub = Hub::new();
    let handler = {
        let hub = hub.clone();
        async move |headers: http::HeaderMap| {
            Sse::new(hub.subscribe(["sse"], tidecast::Start::Live).unwrap()).for_request(&headers)
        }
    };
    let at = publish(&hub, "sse", "before").position;
    let app = Router::new().nest("/stream", router(hub)).route("/own", axum::routing::get(handler));
    let (no_cache, browser, mode) =
        (("cache-control", "no-cache"), ("user-agent", "Mozilla/5.0 (X11)"), ("sec-fetch-mode", "cors"));
    for (headers, empty_line) in [
        (&[no_cache, browser, mode][..], true),
        (&[no_cache, browser], true),
        (&[no_cache, mode], true),
        (&[("cache-control", "max-age=0, No-Cache"), browser], true),
        // The `fetch` of a page.
        (&[browser, mode], false),
        (&[("cache-control", "no-store"), browser], false),
        // Clients in Go and Java.
        (&[no_cache, ("user-agent", "okhttp/4.12.0")], false),
        (&[no_cache], false),
        (&[], false),
    ] {
        for address in ["/stream", "/own"] {
            let mut request = Request::get(address).body(Body::empty()).unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            let (_, first) = open(&app, request).await;
            let end = if empty_line { "\n" } else { "" };
            assert_eq!(first, format!(": tidecast\nretry: 3000\nid: {at}\n{end}"), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn with_open_the_first_block_is_an_event() {
    let hub = Hub::new();
    let published = publish(&hub, "sse", "before");
    let (_body, first) = open(&router(hub), get("/?open=1")).await;
    let [message] = &messages(&first)[..] else { panic!("one event: {first}") };
    assert_eq!(message.event_type, "stream-open");
    assert_eq!(message.data, format!(r#"{{"position":"{}"}}"#, published.position));
    assert_eq!(message.last_event_id, published.position.to_string());
}

#[tokio::test]
async fn channels_are_those_of_the_query_once_each_or_sse_by_default() {
    let hub = Hub::new();
    let app = router(hub.clone());
    for (address, expected) in [
        ("/", vec!["sse"]),
        ("/?channel=", vec!["sse"]),
        ("/?channel", vec!["sse"]),
        ("/?theme=dark&", vec!["sse"]),
        ("/?channel=users.social", vec!["users.social"]),
        ("/?channel=a&channel=b&channel=a", vec!["a", "b"]),
        ("/?channel=caf%C3%A9+au%20lait%2B%26", vec!["café au lait+&"]),
        ("/?channel=100%", vec!["100%"]),
    ] {
        let _stream = open(&app, get(address)).await;
        let read: Vec<_> = hub.channels(None, 10).into_iter().filter(|channel| channel.subscribers > 0).collect();
        let names: Vec<_> = read.iter().map(|info| info.channel.as_str()).collect();
        assert_eq!(names, expected, "{address}");
        assert!(read.iter().all(|info| info.subscribers == 1), "{address}");
    }
}

#[tokio::test]
async fn missed_events_precede_new_ones() {
    let hub = Hub::new();
    let app = router(hub.clone());
    let first = publish(&hub, "sse", "1");
    publish(&hub, "sse", "2");
    let (mut body, _) = open(&app, get_after("/", &first.id)).await;
    assert_eq!(data(&next(&mut body).await), ["2"]);
    publish(&hub, "sse", "3");
    assert_eq!(data(&next(&mut body).await), ["3"]);
}

#[tokio::test]
async fn several_channels_resume_by_one_id() {
    let hub = Hub::new();
    let app = router(hub.clone());
    let address = "/?channel=a&channel=b";
    let (mut body, _) = open(&app, get(address)).await;
    publish(&hub, "b", "1");
    let last = messages(&next(&mut body).await).remove(0).last_event_id;
    drop(body);
    publish(&hub, "a", "2");
    publish(&hub, "b", "3");
    let (mut body, _) = open(&app, get_after(address, &last)).await;
    let mut missed = data(&next(&mut body).await);
    missed.sort();
    assert_eq!(missed, ["2", "3"]);
}

#[tokio::test]
async fn an_unknown_id_brings_a_reset() {
    let hub = Hub::new();
    publish(&hub, "sse", "kept");
    let (mut body, first) = open(&router(hub), get_after("/", "nobody knows")).await;
    assert!(first.ends_with("\nid: nobody knows\n\n"), "a cut before the reset must not lose it: {first}");
    let received = messages(&next(&mut body).await);
    assert_eq!(received[0].event_type, "stream-reset");
    assert!(received[0].data.contains(r#""reason":"unknown-id""#), "{}", received[0].data);
    assert_eq!(received[1].data, "kept");
}

#[tokio::test]
async fn a_head_request_gets_no_body_and_no_subscription() {
    let hub = Hub::new();
    let request = Request::head("/?channel=a").body(Body::empty()).unwrap();
    let response = send(&router(hub.clone()), request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(rest(response.into_body()).await, "");
    assert_eq!(hub.stats().subscribed, 0);
    assert!(hub.channels(None, 1).is_empty());
}

#[tokio::test]
async fn other_methods_get_the_allowed_ones() {
    let app = router(Hub::new());
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let response = send(&app, Request::builder().method(&method).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[header::ALLOW], "GET,HEAD", "{method}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{method}");
    }
}

#[tokio::test]
async fn a_closed_hub_asks_clients_to_reconnect() {
    let hub = Hub::new();
    let app = router(hub.clone());
    hub.close();
    let response = send(&app, get("/")).await;
    assert_eq!(response.status(), 200, "an `EventSource` gives up at an error");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream; charset=utf-8");
    let body = rest(response.into_body()).await;
    let retry: u64 = body.strip_prefix("retry: ").unwrap().strip_suffix("\n").unwrap().parse().unwrap();
    assert!((1_000..=5_000).contains(&retry), "{body}");
}
