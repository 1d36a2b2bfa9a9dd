//! The hub stops: streams receive all events and a last block, no client delays the end beyond the deadline, and every
//! acknowledged event was delivered.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tidecast::wire::Item;
use tidecast_test::{EventStream, HttpConnection, Signal, eventually, request_bytes, within};
use tokio::net::{TcpSocket, TcpStream};

use crate::TIDECAST;

/// Returns the time to reconnect in the last block of a stream, which must be in the hub's range.
fn last_retry(items: &[Item]) -> Duration {
    let Some(Item::Retry(retry)) = items.last() else { panic!("no last block: {items:?}") };
    assert!((1_000..=5_000).contains(&retry.as_millis()), "{retry:?}");
    *retry
}

fn data(items: &[Item]) -> Vec<&str> {
    let messages = items.iter().filter_map(|item| if let Item::Message(message) = item { Some(message) } else { None });
    messages.map(|message| message.data.as_str()).collect()
}

#[tokio::test]
async fn streams_receive_all_events_and_a_last_block() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut hub = TIDECAST.serve(&[]);
        let mut idle = Vec::new();
        for _ in 0..40 {
            idle.push(hub.stream("/stream?channel=idle").await);
        }
        let mut several = hub.stream("/stream?channel=a&channel=b&channel=c").await;
        let mut old = {
            let mut connection = HttpConnection::open(hub.address).await;
            connection
                .send(format!("GET /stream?channel=a HTTP/1.0\r\nHost: {}\r\n\r\n", hub.address).as_bytes())
                .await;
            EventStream::read_head(connection).await
        };
        // The clients read nothing before the hub is told to stop.
        let events: Vec<_> = (0..900)
            .map(|number| serde_json::json!({ "channel": (["a", "b", "c"][number % 3]), "data": number, "id": "own" }))
            .collect();
        hub.publish(&serde_json::Value::from(events).to_string()).await;
        hub.signal(signal);

        let mut retries = HashSet::new();
        for stream in &mut idle {
            let rest = stream.rest().await;
            assert_eq!(data(&rest).len(), 0);
            retries.insert(last_retry(&rest));
        }
        assert!(retries.len() > 10, "all would come back together: {retries:?}");
        let rest = several.rest().await;
        last_retry(&rest);
        let mut numbers: Vec<usize> = data(&rest).iter().map(|data| data.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..900).collect::<Vec<_>>());
        let rest = old.rest().await;
        last_retry(&rest);
        assert_eq!(data(&rest), (0..300).map(|number| (number * 3).to_string()).collect::<Vec<_>>());

        let (status, _) = hub.ended().await;
        assert!(status.success(), "{status}");
        assert!(TcpStream::connect(hub.address).await.is_err(), "new connections are refused");
    }
}

/// An acknowledged event must have reached every stream, whenever the publish and the stop met.
#[tokio::test]
async fn no_acknowledged_event_is_lost_while_the_hub_stops() {
    for _ in 0..5 {
        let mut hub = TIDECAST.serve(&[]);
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(hub.stream("/stream").await);
        }
        let mut publishers = tokio::task::JoinSet::new();
        for publisher in 0..4 {
            let address = hub.address;
            publishers.spawn(async move {
                let mut connection = HttpConnection::open(address).await;
                let mut accepted = Vec::new();
                for number in 0..1_000_000 {
                    let data = format!("{publisher}.{number}");
                    let bytes =
                        request_bytes(address, "POST", "/publish", &[("Content-Type", "text/plain")], data.as_bytes());
                    let Some(status) = try_request(&mut connection, &bytes).await else { break };
                    match status {
                        200 => accepted.push(data),
                        503 => break,
                        other => panic!("answered {other}"),
                    }
                }
                accepted
            });
        }
        // The publishes are under way.
        let mut first = Vec::new();
        while first.len() < 20 {
            first.push(streams[0].message().await.data);
        }
        hub.signal(Signal::TERM);
        let mut accepted: Vec<String> = Vec::new();
        while let Some(more) = within("the publishers", publishers.join_next()).await {
            accepted.extend(more.unwrap());
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let rest = stream.rest().await;
            last_retry(&rest);
            let mut seen: HashSet<_> = data(&rest).into_iter().map(str::to_owned).collect();
            if number == 0 {
                seen.extend(first.iter().cloned());
            }
            let lost: Vec<_> = accepted.iter().filter(|data| !seen.contains(*data)).collect();
            assert!(lost.is_empty(), "accepted and lost: {lost:?}");
        }
        assert!(hub.ended().await.0.success());
    }
}

/// Returns the status of the response, or `None` if the hub ends the connection first.
async fn try_request(connection: &mut HttpConnection, bytes: &[u8]) -> Option<u16> {
    use tokio::io::AsyncWriteExt;
    connection.socket.write_all(bytes).await.ok()?;
    while !connection.buffer.ends_with(b"}\n") {
        if !connection.fill(64 * 1024).await.ok()? {
            return None;
        }
    }
    Some(connection.response("POST").await.head.status)
}

#[tokio::test]
async fn no_client_delays_the_end_beyond_the_deadline() {
    let mut hub = TIDECAST.serve(&["--stop-timeout", "500ms"]);
    // A client that reads nothing of its backlog,
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stalled = socket.connect(hub.address).await.unwrap();
    let bytes = request_bytes(hub.address, "GET", "/stream?channel=big", &[], b"");
    tokio::io::AsyncWriteExt::write_all(&mut stalled, &bytes).await.unwrap();
    hub.until_metric("tidecast_streams", 1).await;
    let big = "x".repeat(1024 * 1024);
    for _ in 0..4 {
        hub.publish(&format!(r#"{{"channel":"big","data":"{big}"}}"#)).await;
    }
    // incomplete requests,
    let mut unfinished = Vec::new();
    for beginning in [
        "GET /str",
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhel",
    ] {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(beginning.as_bytes()).await;
        unfinished.push(connection);
    }
    // and new and used connections without a request.
    unfinished.push(HttpConnection::open(hub.address).await);
    let mut used = HttpConnection::open(hub.address).await;
    used.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
    used.response("GET").await;
    let mut healthy = hub.stream("/stream").await;
    let others = unfinished.len() as u64 + 4;
    hub.until_metric("tidecast_connections", others).await;

    let started = Instant::now();
    hub.signal(Signal::TERM);
    last_retry(&healthy.rest().await);
    assert!(used.is_cut().await);
    let (status, took) = hub.ended().await;
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(5), "{took:?}");
    assert!(hub.stderr().contains("cut connections that took too long to end"), "{}", hub.stderr());
}

#[tokio::test]
async fn without_clients_the_hub_ends_at_once() {
    let mut hub = TIDECAST.serve(&["--stop-timeout", "1h"]);
    let mut idle = HttpConnection::open(hub.address).await;
    idle.send(&request_bytes(hub.address, "GET", "/healthz", &[], b"")).await;
    idle.response("GET").await;
    hub.signal(Signal::TERM);
    assert!(hub.ended().await.0.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_hub_at_once() {
    let mut hub = TIDECAST.serve(&["--stop-timeout", "1h"]);
    let mut half = HttpConnection::open(hub.address).await;
    half.send(b"GET /str").await;
    hub.until_metric("tidecast_connections", 2).await;
    let mut bystander = hub.stream("/stream").await;
    hub.signal(Signal::TERM);
    // The hub is stopping and waits for the incomplete request.
    bystander.rest().await;
    hub.signal(Signal::INT);
    let (status, _) = hub.ended().await;
    assert_eq!(status.code(), Some(130));
}

#[tokio::test]
async fn a_restarted_hub_takes_its_port_and_resets_resuming_clients() {
    let mut hub = TIDECAST.serve(&[]);
    let listen = hub.address.to_string();
    let mut one = hub.source("/stream?channel=a");
    let mut two = hub.source("/stream?channel=a&channel=b");
    one.connected().await;
    two.connected().await;
    hub.publish(r#"{"channel":"a","data":"before"}"#).await;
    for source in [&mut one, &mut two] {
        assert_eq!(source.message().await.data, "before");
    }
    hub.signal(Signal::TERM);
    for source in [&mut one, &mut two] {
        source.connected().await.rest().await;
        source.cut();
    }
    assert!(hub.ended().await.0.success());

    let hub = TIDECAST.serve(&["--listen", &listen]);
    hub.publish(r#"{"channel":"a","data":"after"}"#).await;
    for (source, channels) in [(&mut one, &["a"][..]), (&mut two, &["a", "b"])] {
        for channel in channels {
            let reset = source.message().await;
            assert_eq!(reset.event_type, "stream-reset", "{reset:?}");
            let told: serde_json::Value = serde_json::from_str(&reset.data).unwrap();
            assert_eq!((told["channel"].as_str(), told["reason"].as_str()), (Some(*channel), Some("restarted")));
        }
        assert_eq!(source.message().await.data, "after");
    }
}

/// SIGHUP, from a closed terminal or an operator who wants settings to be read again, ended the hub without a log line,
/// and its streams without a last block.
#[tokio::test]
async fn sighup_is_ignored_and_logged() {
    let hub = TIDECAST.serve(&[]);
    let mut stream = hub.stream("/stream").await;
    for times in 1..=2 {
        hub.signal(Signal::HUP);
        eventually("the log line", async || hub.stderr().matches("ignored SIGHUP").count() == times).await;
        hub.publish(&format!(r#"{{"data":{times}}}"#)).await;
        assert_eq!(stream.message().await.data, times.to_string());
    }
}
