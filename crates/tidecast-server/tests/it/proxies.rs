//! The configurations of `docs/proxies.md` with their proxies: streams pass, and events arrive at once and complete,
//! also while hubs restart.

mod http2;
mod setup;

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use tidecast_test::{
    EventSource, EventStream, HubProcess, Signal, eventually, redis::RedisServer, request_bytes, within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::{
    http2::Http2,
    setup::{Kind, Proxy},
};
use crate::{TIDECAST, redis::hub_on};

/// The number of streams that are open at the same time.
const STREAMS: usize = 40;

/// Longer than an event takes through a proxy that does not buffer, and half of the delay that TCP's delayed
/// acknowledgements cause.
const AT_ONCE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn nginx() {
    check_one(Kind::Nginx).await;
    check_two(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy() {
    check_one(Kind::Haproxy).await;
    check_two(Kind::Haproxy).await;
}

#[tokio::test]
async fn apache() {
    check_one(Kind::Apache).await;
    check_two(Kind::Apache).await;
}

#[tokio::test]
async fn caddy() {
    check_one(Kind::Caddy).await;
    check_two(Kind::Caddy).await;
}

#[tokio::test]
async fn lighttpd() {
    check_one(Kind::Lighttpd).await;
    check_two(Kind::Lighttpd).await;
}

/// Checks a proxy in front of one hub. HAProxy delayed each event by 200 ms, lighttpd held it for ever, and Apache
/// waited a minute before it tried a restarted hub.
async fn check_one(kind: Kind) {
    // Nothing else is sent, so no later block pushes an event out of a buffer.
    let mut hub = TIDECAST.serve(&["--keep-alive", "1h"]);
    let proxy = Proxy::start(kind, &[hub.address]).await;
    let target = "/stream?channel=one";
    let mut stream = EventStream::open(proxy.plain, target, &[]).await;
    stream.body_of_at_least(1).await;

    let mut fastest = Duration::MAX;
    for number in 0..10 {
        let started = Instant::now();
        hub.publish(&json!({"channel": "one", "data": number}).to_string()).await;
        assert_eq!(stream.message().await.data, number.to_string());
        fastest = fastest.min(started.elapsed());
    }
    assert!(fastest < AT_ONCE, "{kind:?} passed the fastest of ten events on after {fastest:?}");

    let resume = stream.last_event_id().to_owned();
    drop(stream);
    for data in ["while away", "and again"] {
        hub.publish(&json!({"channel": "one", "data": data}).to_string()).await;
    }
    let mut stream = EventStream::open(proxy.plain, target, &[("Last-Event-ID", &resume)]).await;
    assert_eq!(stream.message().await.data, "while away");
    assert_eq!(stream.message().await.data, "and again");

    many_streams(&hub, &proxy).await;
    let version = if proxy.http2.is_some() { "2" } else { "1.1" };
    assert_eq!(http_version(&proxy), version, "of {kind:?} with TLS");

    // The hub restarts with the settings for the check of an idle stream.
    let resume = stream.last_event_id().to_owned();
    let listen = hub.address.to_string();
    hub.signal(Signal::TERM);
    stream.rest().await;
    hub.ended().await;
    let hub = TIDECAST.serve(&["--listen", &listen, "--keep-alive", "50ms"]);
    let headers = [("Last-Event-ID", resume.as_str())];
    let asked = request_bytes(proxy.plain, "GET", target, &headers, b"");
    let mut stream = None;
    eventually("the proxy finds the hub again", async || {
        let mut connection = proxy.connection().await;
        connection.send(&asked).await;
        let head = connection.head().await;
        if head.status == 200 {
            stream = Some(EventStream::after_head(head, connection));
        }
        stream.is_some()
    })
    .await;
    let mut stream = stream.expect("it was found");
    stream.reset().await;
    let before = stream.bytes_read;
    within("keep-alives", async {
        while stream.bytes_read < before + 20 {
            assert!(stream.fill(1024).await, "the stream ended");
        }
    })
    .await;
    drop(hub);
}

/// Checks that an event reaches forty streams on their own connections, and as many as the proxy allows on one.
async fn many_streams(hub: &HubProcess, proxy: &Proxy) {
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(EventStream::open(proxy.plain, "/stream?channel=many", &[]).await);
    }
    let over_http2 = match proxy.http2 {
        Some(address) => {
            let targets: Vec<_> =
                (0..proxy.http2_streams).map(|number| format!("/stream?channel=many&_={number}")).collect();
            let mut connection = Http2::get(address, &targets).await;
            within("first blocks", async {
                while connection.bodies.values().any(Vec::is_empty) {
                    connection.read().await;
                }
            })
            .await;
            Some(connection)
        }
        None => None,
    };
    hub.publish(r#"{"channel":"many","data":"to all"}"#).await;
    for stream in &mut streams {
        assert_eq!(stream.message().await.data, "to all");
    }
    if let Some(mut connection) = over_http2 {
        let has_it = |body: &Vec<u8>| body.windows(6).any(|window| window == b"to all");
        within("the event", async {
            while !connection.bodies.values().all(has_it) {
                connection.read().await;
            }
        })
        .await;
    }
}

/// Sends a request over TLS and returns the negotiated version of HTTP.
fn http_version(proxy: &Proxy) -> String {
    let address = format!("https://localhost:{}/healthz", proxy.tls.port());
    let to = format!("localhost:{}:127.0.0.1", proxy.tls.port());
    let asked = Command::new("curl")
        .args(["--silent", "--insecure", "--http2", "--fail", "--max-time", "30", "--resolve", &to])
        .args(["--write-out", "%{http_version}", "--output", "/dev/null", &address])
        .output()
        .expect("curl runs: cargo xtask setup installs it");
    assert!(asked.status.success(), "{asked:?}");
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

/// Checks a proxy in front of two hubs on one Redis, which restart in turn while events are published: every request
/// for a stream gets one, and every reader receives every event once and in order. With nginx's default `max_fails`,
/// 289 requests in 18 s got a 502, which closes an `EventSource` for good.
async fn check_two(kind: Kind) {
    const READERS: usize = 8;
    let redis = RedisServer::start(&[]);
    let mut hubs = [hub_on(&redis, &[]).await, hub_on(&redis, &[]).await];
    let addresses = [hubs[0].address, hubs[1].address];
    let proxy = Proxy::start(kind, &addresses).await;

    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let mut source = EventSource::new(proxy.plain, "/stream?channel=two");
        source.connected().await.until_live().await;
        readers.spawn(read_to(source, "the end"));
    }
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let address = proxy.plain;
    let publishing = tokio::spawn(async move {
        let mut number = 0;
        while stopped.try_recv().is_err() {
            publish(address, &number.to_string()).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        number
    });
    for (hub, address) in hubs.iter_mut().zip(&addresses) {
        hub.signal(Signal::TERM);
        hub.ended().await;
        *hub = hub_on(&redis, &["--listen", &address.to_string()]).await;
        // The page says so: some proxies try a hub that was away only after a second or two.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let _ = stop.send(());
    let published = publishing.await.expect("the publisher");
    publish(address, "the end").await;
    let mut expected: Vec<_> = (0..published).map(|number| number.to_string()).collect();
    expected.push("the end".to_owned());
    let mut connections = 0;
    while let Some(read) = within("the readers", readers.join_next()).await {
        let (data, connected) = read.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        assert_eq!(data, expected, "{kind:?}");
        connections += connected;
    }
    assert!(connections > READERS, "no reader was ever cut: the restarts show nothing");
}

/// Publishes the same event through the proxy until the status is 200.
async fn publish(address: SocketAddr, data: &str) {
    let body = json!({"channel": "two", "data": data, "idempotency_key": data}).to_string();
    let asked = request_bytes(address, "POST", "/publish", &[("Content-Type", "application/json")], body.as_bytes());
    let attempt = async || -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(&asked).await?;
        let mut response = [0; 12];
        socket.read_exact(&mut response).await?;
        Ok(&response == b"HTTP/1.1 200")
    };
    within("a publish", async { while !attempt().await.unwrap_or(false) {} }).await;
}

/// Reads until an event has these data. Returns the data of all events and the number of connections. Any status but
/// 200 fails the test, as it closes an `EventSource` for good.
async fn read_to(mut source: EventSource, last: &str) -> (Vec<String>, usize) {
    let (mut data, mut connections) = (Vec::<String>::new(), 1);
    while data.last().is_none_or(|data| data != last) {
        match source.message_or_cut().await {
            Some(message) => {
                assert_eq!(message.event_type, "message", "{}", message.data);
                data.push(message.data);
            }
            None => {
                assert_eq!(source.cut(), [], "what was complete has been taken");
                connections += 1;
            }
        }
    }
    (data, connections)
}
