//! Two programs on a real Redis, which the test starts.

use std::net::SocketAddr;

use tidecast_test::{EventStream, eventually, redis::RedisServer, request};
use tokio::net::TcpListener;

#[tokio::test]
async fn both_pages_show_every_message() {
    let redis = RedisServer::start(&[]);
    let (here, there) = (serve(&redis).await, serve(&redis).await);

    let page = request(here, "GET", "/", &[], b"").await.text();
    assert!(page.contains(r#"new EventSource("/stream?channel=messages")"#), "{page}");

    let mut streams = [stream(here, "").await, stream(there, "").await];
    assert_eq!(say(there, "hello").await, 204);
    for stream in &mut streams {
        assert_eq!(stream.message().await.data, "hello");
    }
    let last = streams[0].last_event_id().to_owned();
    drop(streams);

    // The page of one program resumes at the other.
    assert_eq!(say(here, "again").await, 204);
    let mut resumed = stream(there, &format!("&last_event_id={last}")).await;
    assert_eq!(resumed.message().await.data, "again");
}

#[tokio::test]
async fn without_redis_a_program_is_not_ready() {
    let mut redis = RedisServer::start(&[]);
    let address = serve(&redis).await;
    redis.kill();
    assert_eq!(say(address, "hello").await, 503);
    redis.run();
    eventually("the program finds the new Redis", async || ready(address).await == 200).await;
}

/// Starts a program on a free port and waits until it has found Redis.
async fn serve(redis: &RedisServer) -> SocketAddr {
    let hub = super::hub(&redis.url()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, super::app(hub)).into_future());
    assert_eq!(ready(address).await, 200);
    address
}

/// Opens a stream and waits until it misses no later message.
async fn stream(address: SocketAddr, query: &str) -> EventStream {
    let mut stream = EventStream::open(address, &format!("/stream?channel=messages{query}"), &[]).await;
    stream.until_live().await;
    stream
}

async fn say(address: SocketAddr, text: &str) -> u16 {
    request(address, "POST", "/say", &[], text.as_bytes()).await.head.status
}

async fn ready(address: SocketAddr) -> u16 {
    request(address, "GET", "/ready", &[], b"").await.head.status
}
