//! The library in somebody's own server, on real sockets.

use std::time::Duration;

use axum::Router;
use tidecast::Hub;
use tidecast_axum::{close_on, with_shutdown_timeout};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

use crate::exchange::publish;

const DEADLINE: Duration = Duration::from_secs(20);

/// `axum::serve` waits for its connections, and a stream has no end of its own: closing the hub is what lets a server
/// stop that is asked to.
#[tokio::test]
async fn a_server_with_streams_stops_once_the_hub_is_closed() {
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
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let head = read_until(&mut stream, "\nid: ").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        streams.push(stream);
    }
    assert_eq!(publish(&hub, "sse", "last words").receivers, 10);
    stop.send(()).unwrap();
    for stream in &mut streams {
        let mut end = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut end)).await.expect("the stream ends").unwrap();
        assert!(end.contains("data: last words\nid: "), "{end}");
        assert!(end.contains("\r\nretry: "), "{end}");
        assert!(end.ends_with("\r\n0\r\n\r\n"), "the response is complete: {end}");
    }
    timeout(DEADLINE, server).await.expect("the server ends").unwrap().unwrap();
    assert_eq!(hub.stats().subscriptions, 0);
}

#[tokio::test]
async fn a_client_that_goes_leaves_its_channel() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, tidecast_axum::router(hub.clone())).into_future());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut stream, "\nid: ").await;
    assert_eq!(hub.stats().subscriptions, 1);
    drop(stream);
    let gone = async {
        while hub.stats().subscriptions > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.expect("its going is noticed");
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "it ended before {end:?}");
        }
    };
    timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("no {end:?}"));
    String::from_utf8(read).unwrap()
}

/// Graceful shutdown waits for every connection, and that of a client which reads nothing never ends: its stream's last
/// block stays behind what it does not take.
#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, tidecast_axum::router(hub.clone()))
        .with_graceful_shutdown(close_on(hub.clone(), stopped));
    let ending = hub.clone();
    let server = tokio::spawn(async move { with_shutdown_timeout(&ending, Duration::from_millis(200), server).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut stream, "\nid: ").await;
    // More than the sockets have room for, and nothing of it is read.
    for _ in 0..32 {
        publish(&hub, "sse", &"x".repeat(500_000));
    }
    stop.send(()).unwrap();
    timeout(DEADLINE, server).await.expect("the server ends").unwrap().unwrap();
}
