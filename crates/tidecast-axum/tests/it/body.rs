//! The body of a stream: its contents, its keep-alive comments, and its end.

use std::time::Duration;

use axum::Router;
use tidecast::{Event, Hub};
use tidecast_axum::{StreamOptions, Streams};
use tokio::time::{Instant, sleep, timeout};

use crate::exchange::{data, get, is_silent, next, open, publish, rest, try_next};

fn router_with(hub: &Hub, options: StreamOptions) -> Router {
    Streams::new(hub.clone()).options(options).into_router()
}

fn default_router(hub: &Hub) -> Router {
    router_with(hub, StreamOptions::default())
}

const SILENCE: Duration = Duration::from_secs(8);

/// Tokio's timers count milliseconds and round up.
const TICK: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_comment_follows_each_interval_of_silence() {
    let hub = Hub::new();
    let (mut body, _) = open(&default_router(&hub), get("/")).await;
    for _ in 0..3 {
        let quiet_since = Instant::now();
        assert_eq!(next(&mut body).await, ":\n");
        let silence = quiet_since.elapsed();
        assert!((SILENCE..=SILENCE + TICK).contains(&silence), "{silence:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_comment_is_sent_while_events_arrive() {
    let hub = Hub::new();
    let (mut body, _) = open(&default_router(&hub), get("/")).await;
    let publisher = hub.clone();
    tokio::spawn(async move {
        for number in 0..5 {
            sleep(SILENCE - Duration::from_secs(1)).await;
            publish(&publisher, "sse", &number.to_string());
        }
    });
    for number in 0..5 {
        assert_eq!(data(&next(&mut body).await), [number.to_string()]);
    }
    let quiet_since = Instant::now();
    assert_eq!(next(&mut body).await, ":\n");
    assert!((SILENCE..=SILENCE + TICK).contains(&quiet_since.elapsed()), "{:?}", quiet_since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_keep_alive_interval_is_an_option_and_zero_disables_it() {
    let hub = Hub::new();
    let options = StreamOptions::default().keep_alive(Duration::from_millis(40));
    let (mut body, _) = open(&router_with(&hub, options), get("/")).await;
    let quiet_since = Instant::now();
    assert_eq!(next(&mut body).await, ":\n");
    assert!(quiet_since.elapsed() <= Duration::from_millis(40) + TICK);

    let options = StreamOptions::default().keep_alive(Duration::ZERO);
    let (mut body, _) = open(&router_with(&hub, options), get("/")).await;
    timeout(Duration::from_secs(86_400), next(&mut body)).await.expect_err("not a word in a day");
    publish(&hub, "sse", "news");
    assert_eq!(data(&next(&mut body).await), ["news"]);
}

#[tokio::test]
async fn retry_is_an_option() {
    let options = StreamOptions::default().retry(Duration::from_millis(250));
    let (_body, first) = open(&router_with(&Hub::new(), options), get("/")).await;
    assert!(first.starts_with(": tidecast\nretry: 250\n"), "{first}");
}

#[tokio::test]
async fn a_backlog_is_sent_as_it_is_in_the_log() {
    let hub = Hub::new();
    let (mut body, _) = open(&default_router(&hub), get("/")).await;
    let event = Event::text("two\nlines").with_type("note").unwrap().with_id("own").unwrap();
    hub.publish_now("sse", event).unwrap();
    let second = publish(&hub, "sse", "");
    let expected = format!("event: note\ndata: two\ndata: lines\nid: own\n\ndata: \nid: {}\n\n", second.position);
    assert_eq!(next(&mut body).await, expected);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_only_a_cursor() {
    let hub = Hub::new();
    let (mut body, _) = open(&default_router(&hub), get("/")).await;
    assert!(is_silent(&mut body));
    for number in 0..1_000 {
        publish(&hub, "sse", &number.to_string());
    }
    assert_eq!(hub.stats().delivered, 0, "nothing is taken before it is asked for");
    let mut read = next(&mut body).await;
    while data(&read).len() < 1_000 {
        read.push_str(&next(&mut body).await);
    }
    assert_eq!(data(&read), (0..1_000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dropped_body_leaves_its_channels() {
    let hub = Hub::new();
    let app = default_router(&hub);
    let stay = open(&app, get("/?channel=a")).await;
    let go = open(&app, get("/?channel=a&channel=b")).await;
    assert_eq!(publish(&hub, "a", "").receivers, 2);
    drop(go);
    assert_eq!(publish(&hub, "a", "").receivers, 1);
    assert_eq!(publish(&hub, "b", "").receivers, 0);
    assert_eq!(hub.stats().subscriptions, 1);
    drop(stay);
    assert_eq!(hub.stats().subscriptions, 0);
}

#[tokio::test]
async fn an_unread_body_leaves_its_channels_when_it_is_dropped() {
    let hub = Hub::new();
    drop(crate::exchange::send(&default_router(&hub), get("/")).await);
    assert_eq!(hub.stats().subscriptions, 0);
}

#[tokio::test]
async fn a_closed_hub_ends_the_body_after_all_earlier_events() {
    let hub = Hub::new();
    let (mut body, _) = open(&default_router(&hub), get("/")).await;
    publish(&hub, "sse", "last words");
    hub.close();
    assert_eq!(data(&next(&mut body).await), ["last words"]);
    let end = next(&mut body).await;
    assert!(end.starts_with("retry: "), "{end}");
    assert!(http_body::Body::is_end_stream(&body));
    assert_eq!(try_next(&mut body).await, None);
    assert_eq!(try_next(&mut body).await, None, "and stays so");
}

#[tokio::test(start_paused = true)]
async fn closing_the_hub_wakes_a_waiting_body() {
    let hub = Hub::new();
    let (body, _) = open(&default_router(&hub), get("/")).await;
    let reader = tokio::spawn(rest(body));
    sleep(Duration::from_secs(1)).await;
    hub.close();
    let end = timeout(Duration::from_secs(1), reader).await.expect("at once, not at the next comment").unwrap();
    assert!(end.starts_with("retry: "), "{end}");
}

#[tokio::test]
async fn final_reconnection_times_are_spread_over_their_range() {
    let hub = Hub::new();
    let end_retry = Duration::from_secs(7)..=Duration::from_secs(9);
    let app = router_with(&hub, StreamOptions::default().end_retry(end_retry));
    let mut bodies = Vec::new();
    for _ in 0..50 {
        bodies.push(open(&app, get("/")).await.0);
    }
    hub.close();
    let mut retries = Vec::new();
    for body in bodies {
        let end = rest(body).await;
        let retry: u64 = end.strip_prefix("retry: ").unwrap().strip_suffix("\n").unwrap().parse().unwrap();
        assert!((7_000..=9_000).contains(&retry), "{retry}");
        retries.push(retry);
    }
    retries.sort_unstable();
    retries.dedup();
    assert!(retries.len() > 10, "{retries:?}");
}

/// At the end of its lifetime a stream sends the usual reconnection time, not that of a stopping hub.
#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_a_busy_stream() {
    let hub = Hub::new();
    let lifetime = Duration::from_secs(100);
    let options = StreamOptions::default().lifetime(lifetime);
    let app = router_with(&hub, options);
    let mut lasted = Vec::new();
    for _ in 0..4 {
        let (mut body, _) = open(&app, get("/")).await;
        let started = Instant::now();
        let publisher = hub.clone();
        let busy = tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                publish(&publisher, "sse", "again");
            }
        });
        let mut last = String::new();
        while let Some(block) = try_next(&mut body).await {
            last = block;
        }
        busy.abort();
        assert_eq!(last, "retry: 3000\n");
        // The lifetime is checked with each event.
        assert!((lifetime / 5 * 4..=lifetime + Duration::from_secs(1)).contains(&started.elapsed()));
        lasted.push(started.elapsed());
    }
    assert!(lasted.iter().any(|one| *one != lasted[0]), "drawn for each: {lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_an_idle_stream() {
    let options = StreamOptions::default().lifetime(Duration::from_secs(100)).keep_alive(Duration::ZERO);
    let (body, _) = open(&router_with(&Hub::new(), options), get("/")).await;
    let started = Instant::now();
    assert_eq!(rest(body).await, "retry: 3000\n");
    assert!((80..=100).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}
