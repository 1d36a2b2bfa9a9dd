//! Limits on connections and streams: a client above a limit is told when to reconnect, or waits.

use std::time::Duration;

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, HubProcess, eventually, request_bytes};

use crate::TIDECAST;

/// Requests a stream above the limit, which must be a 200 with a time to reconnect, and returns that time.
async fn retry_of_refused_stream(hub: &HubProcess) -> Duration {
    retry_of_refused_stream_from(hub, "/stream").await
}

async fn retry_of_refused_stream_from(hub: &HubProcess, address: &str) -> Duration {
    let mut stream = hub.stream(address).await;
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let rest = stream.rest().await;
    let [Item::Retry(retry)] = rest[..] else { panic!("{rest:?}") };
    assert!((5_000..=30_000).contains(&retry.as_millis()), "{retry:?}");
    assert_eq!(stream.body, format!("retry: {}\n", retry.as_millis()).into_bytes());
    retry
}

#[tokio::test]
async fn a_full_hub_tells_clients_when_to_reconnect() {
    let hub = TIDECAST.serve(&["--streams-max", "3"]);
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(hub.stream("/stream").await);
    }
    let mut retries = std::collections::HashSet::new();
    for _ in 0..10 {
        retries.insert(retry_of_refused_stream(&hub).await);
    }
    assert!(retries.len() > 3, "all would come back together: {retries:?}");
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"full\"}").await, 10);
    assert_eq!(hub.metric("tidecast_streams").await, 3);
    // The log did not say that the hub was full, nor which setting limits it.
    let warnings = || hub.stderr().lines().filter(|line| line.contains("WARN") && line.contains("streams_max")).count();
    eventually("a warning, and not one for each", async || (1..10).contains(&warnings())).await;
    // Other requests and the open streams work.
    assert_eq!(hub.request("HEAD", "/stream", &[], b"").await.head.status, 200);
    assert_eq!(hub.publish(r#"{"data":1}"#).await["receivers"], 3);
    for stream in &mut streams {
        assert_eq!(stream.message().await.data, "1");
    }
    // A new stream may follow one that has ended.
    streams.pop();
    hub.until_metric("tidecast_streams", 2).await;
    let mut stream = hub.stream("/stream?last=1").await;
    assert_eq!(stream.message().await.data, "1");
    retry_of_refused_stream(&hub).await;
    // The hub closes the connection of a client that was refused, as others need it.
    let mut connection = HttpConnection::open(hub.address).await;
    connection.send(&request_bytes(hub.address, "GET", "/stream", &[], b"")).await;
    let response = connection.response("GET").await;
    assert_eq!(response.head.header("connection"), Some("close"));
    assert!(response.text().starts_with("retry: "));
    assert!(connection.is_cut().await);
}

#[tokio::test]
async fn one_client_gets_no_more_than_its_share() {
    let hub = TIDECAST.serve(&["--streams-per-client-max", "2", "--streams-max", "3"]);
    let first = hub.stream("/stream").await;
    let _second = hub.stream("/stream").await;
    retry_of_refused_stream(&hub).await;
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"client-full\"}").await, 1);
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"full\"}").await, 0);
    // A refused request does not count against the limit, nor does a stream that has ended.
    hub.get("/stream?last=x").await;
    drop(first);
    hub.until_metric("tidecast_streams", 1).await;
    hub.get("/stream?last=x").await.problem(400);
    let _third = hub.stream("/stream").await;
    retry_of_refused_stream(&hub).await;
    // Another address of this machine counts as another client.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = HttpConnection { socket: socket.connect(hub.address).await.unwrap(), buffer: Vec::new() };
    other.send(&request_bytes(hub.address, "GET", "/stream", &[], b"")).await;
    let mut other = EventStream::read_head(other).await;
    other.until_live().await;
    assert!(!other.last_event_id().is_empty());
    retry_of_refused_stream(&hub).await;
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"full\"}").await, 1);
}

#[tokio::test]
async fn without_an_idle_connection_the_next_one_waits() {
    let hub = TIDECAST.serve(&["--connections-max", "2", "--streams-max", "2"]);
    let first = hub.stream("/stream").await;
    let mut second = hub.stream("/stream").await;
    // The kernel accepts the connection and the hub does not: it is neither refused nor answered.
    let mut waiting = HttpConnection::open(hub.address).await;
    waiting.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
    let early = tokio::time::timeout(Duration::from_millis(300), waiting.fill(1024)).await;
    assert!(early.is_err(), "answered beyond the limit: {early:?}");
    eventually("a warning", async || hub.stderr().contains("connections_max=2")).await;
    drop(first);
    assert_eq!(waiting.response("GET").await.text(), "alive\n");
    drop(waiting);
    // The connection that was open all the time still works.
    assert_eq!(hub.publish(r#"{"data":1}"#).await["receivers"], 1);
    assert_eq!(second.message().await.data, "1");
    drop(second);
    eventually("no streams", async || hub.metric("tidecast_streams").await == 0).await;
}

/// A client that read new names made the hub drop the history of every channel.
#[tokio::test]
async fn the_number_of_channels_without_events_is_bounded() {
    let hub = TIDECAST.serve(&["--read-channels-max", "2", "--logs-bytes", "64KiB"]);
    hub.publish(r#"{"channel":"published","data":1}"#).await;
    let mut both = hub.stream("/stream?channel=a&channel=b").await;
    both.body_until(".0\n\n").await;
    retry_of_refused_stream_from(&hub, "/stream?channel=c").await;
    retry_of_refused_stream_from(&hub, "/stream?channel=published&channel=c").await;
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"channels-full\"}").await, 2);
    // A channel with events, and one that already has a reader, may be read.
    let mut stream = hub.stream("/stream?channel=published&channel=a&last=1").await;
    assert_eq!(stream.message().await.data, "1");
    // A channel with events does not count.
    hub.publish(r#"{"channel":"a","data":2}"#).await;
    hub.stream("/stream?channel=c").await.body_until(".0\n\n").await;
}

#[tokio::test]
async fn a_limit_of_no_streams_refuses_all() {
    let hub = TIDECAST.serve(&["--streams-max", "0"]);
    retry_of_refused_stream(&hub).await;
    assert_eq!(hub.publish(r#"{"data":1}"#).await["receivers"], 0);
}
