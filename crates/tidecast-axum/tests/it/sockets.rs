//! An application with streams on real sockets.

use std::time::Duration;

use axum::Router;
use tidecast::{Hub, wire::Item};
use tidecast_axum::{close_on, with_shutdown_timeout};
use tidecast_test::{EventStream, eventually, within};
use tokio::{net::TcpListener, sync::oneshot};

use crate::exchange::publish;

/// A graceful shutdown waits for all connections, and a stream ends only when its hub is closed.
#[tokio::test]
async fn a_server_with_streams_stops_when_the_hub_is_closed() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().nest("/stream", tidecast_axum::router(hub.clone()));
    let (stop, stopped) = oneshot::channel::<()>();
    let closing = hub.clone();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        stopped.await.unwrap();
        closing.close();
    });
    let server = tokio::spawn(server.into_future());

    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = EventStream::open(address, "/stream", &[]).await;
        stream.until_live().await;
        streams.push(stream);
    }
    assert_eq!(publish(&hub, "sse", "last words").receivers, 10);
    stop.send(()).unwrap();
    for stream in &mut streams {
        assert_eq!(stream.message().await.data, "last words");
        let rest = stream.rest().await;
        assert!(matches!(rest[..], [Item::Retry(_)]), "{rest:?}");
    }
    within("the end of the server", server).await.unwrap().unwrap();
    assert_eq!(hub.stats().subscriptions, 0);
}

#[tokio::test]
async fn a_client_that_disconnects_leaves_its_channel() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, tidecast_axum::router(hub.clone())).into_future());
    let mut stream = EventStream::open(address, "/", &[]).await;
    stream.until_live().await;
    assert_eq!(hub.stats().subscriptions, 1);
    drop(stream);
    eventually("the subscription ends", async || hub.stats().subscriptions == 0).await;
}

/// A graceful shutdown waits for all connections. The last block of a stream whose client reads nothing is never written, so
/// the connection would never end.
#[tokio::test]
async fn a_client_that_reads_nothing_does_not_delay_the_end() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, tidecast_axum::router(hub.clone()))
        .with_graceful_shutdown(close_on(hub.clone(), stopped));
    let ending = hub.clone();
    let server = tokio::spawn(async move { with_shutdown_timeout(&ending, Duration::from_millis(200), server).await });
    let mut stream = EventStream::open(address, "/", &[]).await;
    stream.until_live().await;
    // More than the socket buffers hold.
    for _ in 0..32 {
        publish(&hub, "sse", &"x".repeat(500_000));
    }
    stop.send(()).unwrap();
    within("the end of the server", server).await.unwrap().unwrap();
}
