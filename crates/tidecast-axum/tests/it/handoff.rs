//! A server takes a stream's subscription from its body.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::{Router, extract::State, routing::get as route};
use tidecast::{Event, FeedOptions, Hub, Publisher, Start};
use tidecast_axum::{Sse, internals::StreamHandoff, router};

use crate::exchange::{data, get, is_silent, next, open, publish};

fn with_handoff() -> (axum::extract::Request, StreamHandoff) {
    let handoff = StreamHandoff::new();
    let mut request = get("/");
    request.extensions_mut().insert(handoff.clone());
    (request, handoff)
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_can_be_taken() {
    let hub = Hub::new();
    let (request, handoff) = with_handoff();
    let (mut body, _) = open(&router(hub.clone()), request).await;
    assert!(handoff.has_stream());
    assert!(handoff.take().is_none(), "it has not been asked yet");
    assert!(is_silent(&mut body));
    let first = handoff.idle_epoch();
    assert!(first.is_some());
    assert!(is_silent(&mut body));
    assert_eq!(handoff.idle_epoch(), first, "it has said nothing since");

    publish(&hub, "sse", "one");
    assert_eq!(data(&next(&mut body).await), ["one"]);
    assert_eq!(handoff.idle_epoch(), None);
    assert!(is_silent(&mut body));
    assert!(handoff.idle_epoch().is_some_and(|armed| Some(armed) != first), "another time");

    let mut taken = handoff.take().unwrap();
    assert_eq!((handoff.idle_epoch(), handoff.has_stream()), (None, false));
    publish(&hub, "sse", "two");
    assert!(is_silent(&mut body), "two would say it");
    drop(body);
    let delivered = taken.subscription.next().await;
    assert!(matches!(delivered, Some(tidecast::Delivery::Event(_))), "{delivered:?}");
    assert_eq!(hub.stats().subscriptions, 1);
    drop(taken);
    assert_eq!(hub.stats().subscriptions, 0);
}

#[tokio::test(start_paused = true)]
async fn attached_values_live_as_long_as_the_stream() {
    let hub = Hub::new();
    let kept = Arc::new(());
    let (request, handoff) = with_handoff();
    handoff.attach(kept.clone());
    assert_eq!(Arc::strong_count(&kept), 1, "there is no stream");
    let (body, _) = open(&router(hub.clone()), request).await;
    handoff.attach(kept.clone());
    handoff.attach(kept.clone());
    assert_eq!(Arc::strong_count(&kept), 3);
    drop(body);
    assert_eq!((Arc::strong_count(&kept), hub.stats().subscriptions), (1, 0));

    let (request, handoff) = with_handoff();
    let (mut body, _) = open(&router(hub), request).await;
    handoff.attach(kept.clone());
    assert!(is_silent(&mut body));
    let taken = handoff.take();
    drop(body);
    assert_eq!(Arc::strong_count(&kept), 2);
    drop(taken);
    assert_eq!(Arc::strong_count(&kept), 1);
}

/// Two responses to one request cannot share one hand-off: the second stream is served by its body.
#[tokio::test(start_paused = true)]
async fn a_handoff_holds_one_stream() {
    async fn twice(State(hub): State<Hub>, handoff: axum::Extension<StreamHandoff>) -> Sse {
        let sse = || Sse::new(hub.subscribe(["sse"], Start::Live).unwrap()).handoff(Some(handoff.0.clone()));
        let first = axum::response::IntoResponse::into_response(sse());
        tokio::spawn(async move {
            let _kept = first;
            std::future::pending::<()>().await;
        });
        sse()
    }
    let hub = Hub::new();
    let app = Router::new().route("/", route(twice)).with_state(hub.clone());
    let (request, handoff) = with_handoff();
    let (mut body, _) = open(&app, request).await;
    assert!(is_silent(&mut body));
    assert_eq!(handoff.idle_epoch(), None, "that is the first one's");
    publish(&hub, "sse", "served");
    assert_eq!(data(&next(&mut body).await), ["served"]);
}

/// A server can only take a subscription, which a feed is not.
#[tokio::test(start_paused = true)]
async fn a_feed_stays_in_its_body() {
    async fn join(State(publisher): State<Publisher<()>>, handoff: axum::Extension<StreamHandoff>) -> Sse {
        let mut options = FeedOptions::default();
        options.initial = vec![Event::text("welcome")];
        Sse::from(publisher.subscribe(["chat"], (), options).unwrap()).handoff(Some(handoff.0))
    }
    let publisher = Publisher::new();
    let say = |text| publisher.publish_now(["chat"], Event::text(text)).unwrap();
    let app = Router::new().route("/", route(join)).with_state(publisher.clone());
    let (request, handoff) = with_handoff();
    let (mut body, _) = open(&app, request).await;
    assert!(!handoff.has_stream(), "so that no server says that it will take it");
    assert_eq!(data(&next(&mut body).await), ["welcome"]);
    for text in ["one", "two"] {
        assert!(is_silent(&mut body));
        assert_eq!(handoff.idle_epoch(), None);
        assert!(handoff.take().is_none());
        assert_eq!(say(text), 1, "it is there still");
        assert_eq!(data(&next(&mut body).await), [text]);
    }
    drop(handoff);
    say("three");
    assert_eq!(data(&next(&mut body).await), ["three"]);
    drop(body);
    assert_eq!(publisher.subscribers(["chat"]).unwrap().len(), 0);
}

/// A taken subscription needs no runtime: its new owner polls it with any waker.
#[tokio::test(start_paused = true)]
async fn a_taken_subscription_can_be_read_from_any_thread() {
    let hub = Hub::new();
    let (request, handoff) = with_handoff();
    let (mut body, _) = open(&router(hub.clone()), request).await;
    assert!(is_silent(&mut body));
    let mut taken = handoff.take().unwrap();
    hub.publish("sse", Event::text("elsewhere")).await.unwrap();
    let read = std::thread::spawn(move || {
        let mut batch = tidecast::Batch::new();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(taken.subscription.poll_batch(&mut context, &mut batch, 1), Poll::Ready(Some(())));
        batch.take_bytes()
    });
    assert!(read.join().unwrap().starts_with(b"data: elsewhere\nid: "));
}
