//! A publisher's feed as a response behaves as a hub's stream does.

use std::time::Duration;

use axum::{
    Router,
    extract::{Path, State},
    routing,
};
use http::header;
use tidecast::{Event, FeedOptions, Publisher, WhenFull};
use tidecast_axum::{Problem, Sse, StreamOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::exchange::{data, get, is_silent, next, open, rest, send, try_next};

async fn join(State(publisher): State<Publisher<String>>, Path(name): Path<String>) -> Result<Sse, Problem> {
    let mut options = FeedOptions::default();
    options.initial = vec![Event::text(format!("hello, {name}"))];
    (options.events_max, options.when_full) = (2, WhenFull::End);
    let served = StreamOptions::default().retry(Duration::from_millis(250));
    // A feed has no positions, so it sends no `stream-open`.
    Ok(Sse::from(publisher.subscribe(["chat"], name, options)?).options(served).open_event(true))
}

fn app(publisher: &Publisher<String>) -> Router {
    Router::new().route("/{name}", routing::get(join)).with_state(publisher.clone())
}

fn say(publisher: &Publisher<String>, data: &str) -> usize {
    publisher.publish_now(["chat"], Event::text(data)).unwrap()
}

#[tokio::test]
async fn a_feed_begins_at_once_with_its_own_events() {
    let publisher = Publisher::new();
    let app = app(&publisher);
    let response = send(&app, get("/ada")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache, no-transform");
    let mut ada = response.into_body();
    assert_eq!(next(&mut ada).await, ": tidecast\nretry: 250\n");
    assert_eq!(next(&mut ada).await, "data: hello, ada\n\n");
    let (mut bob, _) = open(&app, get("/bob")).await;

    say(&publisher, "to all");
    let copies = publisher.publish_with_now(["chat"], |name: &String| {
        (name == "bob").then(|| Event::text("to bob").with_id("7")).transpose()
    });
    assert_eq!(copies.unwrap(), 1);
    assert_eq!(next(&mut ada).await, "data: to all\n\n");
    assert!(is_silent(&mut ada));
    assert_eq!(next(&mut bob).await, "data: hello, bob\n\ndata: to all\n\ndata: to bob\nid: 7\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_silent_feed_sends_comments() {
    let publisher = Publisher::new();
    let (mut body, _) = open(&app(&publisher), get("/ada")).await;
    next(&mut body).await;
    let quiet_since = Instant::now();
    assert_eq!(next(&mut body).await, ":\n");
    assert!(quiet_since.elapsed() >= Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn closing_the_publisher_ends_a_feed_after_all_earlier_events() {
    let publisher = Publisher::new();
    let (body, _) = open(&app(&publisher), get("/ada")).await;
    let reader = tokio::spawn(rest(body));
    sleep(Duration::from_secs(1)).await;
    say(&publisher, "last words");
    publisher.close();
    let output = timeout(Duration::from_secs(1), reader).await.expect("at once, not at the next comment").unwrap();
    assert_eq!(data(&output), ["hello, ada", "last words"]);
    let retry = output.rsplit("retry: ").next().unwrap().trim().parse::<u64>().unwrap();
    assert!((1_000..=5_000).contains(&retry), "{output}");
}

/// At the end of its lifetime a feed sends the usual reconnection time.
#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_a_feed() {
    async fn join(State(publisher): State<Publisher<()>>) -> Result<Sse, Problem> {
        let lifetime = Duration::from_secs(100);
        let served = StreamOptions::default().lifetime(lifetime).keep_alive(Duration::ZERO);
        Ok(Sse::from(publisher.subscribe(["chat"], (), FeedOptions::default())?).options(served))
    }
    let publisher = Publisher::new();
    let app = Router::new().route("/", routing::get(join)).with_state(publisher.clone());
    let (body, _) = open(&app, get("/")).await;
    let started = Instant::now();
    assert_eq!(rest(body).await, "retry: 3000\n");
    assert!((80..=100).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(publisher.subscribers(["chat"]).unwrap().len(), 0);
}

#[tokio::test]
async fn a_feed_may_end_if_its_client_does_not_read() {
    let publisher = Publisher::new();
    let (mut body, _) = open(&app(&publisher), get("/ada")).await;
    assert_eq!((say(&publisher, "1"), say(&publisher, "2"), say(&publisher, "3")), (1, 1, 0));
    assert_eq!(data(&next(&mut body).await), ["hello, ada", "1", "2"]);
    assert!(next(&mut body).await.starts_with("retry: "));
    assert_eq!(try_next(&mut body).await, None);
}

#[tokio::test]
async fn a_client_that_disconnects_leaves_the_publisher() {
    let publisher = Publisher::new();
    let app = app(&publisher);
    let (body, _) = open(&app, get("/ada")).await;
    let unread = send(&app, get("/bob")).await;
    assert_eq!(publisher.subscribers(["chat"]).unwrap().len(), 2);
    drop((body, unread));
    assert_eq!(publisher.subscribers(["chat"]).unwrap().len(), 0);
}
