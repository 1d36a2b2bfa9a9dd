//! The real Flask-SSE under gunicorn with gevent, on the same Redis as a hub. Each receives the events of the other.
//!
//! The program is `tests/flask/app.py`; `cargo xtask setup` installs its requirements.

use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tidecast_test::{
    EventStream, HttpConnection, HttpResponse, eventually, free_port, redis::RedisServer, request_bytes,
};
use tokio::net::TcpStream;

use super::hub_on;

/// A running Flask program.
struct Flask {
    /// The gunicorn process, which leads its own process group.
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Flask {
    async fn start(redis: &RedisServer) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
        let python = target.join("tools/flask/bin/python");
        assert!(python.exists(), "no {}: cargo xtask setup makes it", python.display());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("flask-{}.log", address.port()));
        let file = fs::File::create(&log).expect("a file for its log");
        let child = Command::new(python)
            .args(["-m", "gunicorn", "--worker-class", "gevent", "--bind", &address.to_string(), "app:app"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/flask"))
            .env("SSE_REDIS_URL", redis.url())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("GUNICORN_CMD_ARGS")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("python starts");
        let flask = Self { child, address, log };
        eventually("gunicorn listens", async || TcpStream::connect(address).await.is_ok()).await;
        flask
    }

    /// Calls `sse.publish` with these arguments and returns how many Redis connections received the message.
    async fn publish(&self, message: &Value) -> u64 {
        let headers = [("Content-Type", "application/json")];
        let mut connection = HttpConnection::open(self.address).await;
        connection
            .send(&request_bytes(self.address, "POST", "/publish", &headers, message.to_string().as_bytes()))
            .await;
        let response: HttpResponse = connection.response("POST").await;
        assert_eq!(response.head.status, 200, "{response:?}");
        response.json()["receivers"].as_u64().expect("a number")
    }

    /// Requests a stream. Flask-SSE sends nothing before the first event, not even a head.
    async fn ask_for(&self, target: &str) -> HttpConnection {
        let mut connection = HttpConnection::open(self.address).await;
        connection.send(&request_bytes(self.address, "GET", target, &[], b"")).await;
        connection
    }
}

impl Drop for Flask {
    fn drop(&mut self) {
        // The worker would outlive gunicorn until its streams end.
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of gunicorn:\n{}---", fs::read_to_string(&self.log).unwrap_or_default());
        }
        let _ = fs::remove_file(&self.log);
    }
}

/// Waits until this many Redis connections are subscribed to a channel.
async fn until_subscribed(redis: &RedisServer, channel: &str, count: usize) {
    let expected = format!("\r\n:{count}\r\n");
    eventually(&format!("{count} subscriptions"), async || {
        redis.command(&["PUBSUB", "NUMSUB", channel]).is_some_and(|response| response.ends_with(&expected))
    })
    .await;
}

#[tokio::test]
async fn readers_of_the_hub_receive_the_events_of_flask_sse() {
    let redis = RedisServer::start(&[]);
    let (one, other) = (hub_on(&redis, &[]).await, hub_on(&redis, &[]).await);
    let flask = Flask::start(&redis).await;
    let mut streams = Vec::new();
    for hub in [&one, &other] {
        let mut stream = hub.stream("/stream").await;
        stream.until_live().await;
        streams.push(stream);
    }
    let told: [(Value, &str, &str); 7] = [
        (json!({ "data": "hello" }), "message", "hello"),
        (json!({ "data": "l1\nl2\n  l3", "type": "greeting" }), "greeting", "l1\nl2\n  l3"),
        (json!({ "data": "é🌊 \u{2028} \\ \"", "type": "ü", "id": 5 }), "ü", "é🌊 \u{2028} \\ \""),
        (json!({ "data": { "b": [1.5, null], "a": "x" } }), "message", r#"{"a": "x", "b": [1.5, null]}"#),
        (json!({ "data": 7, "retry": 500 }), "message", "7"),
        (json!({ "data": null, "id": "own" }), "message", "null"),
        (json!({ "data": "" }), "message", ""),
    ];
    for (message, event_type, data) in &told {
        assert_eq!(flask.publish(message).await, 2, "one connection a hub");
        for stream in &mut streams {
            let seen = stream.message().await;
            assert_eq!((&*seen.event_type, &*seen.data), (*event_type, *data));
        }
    }
    for hub in [&one, &other] {
        hub.until_metric("tidecast_redis_foreign_events_total", told.len() as u64).await;
        assert_eq!(hub.metric("tidecast_redis_poison_payloads_total").await, 0);
    }
    // An event of another channel, which nobody reads here.
    assert_eq!(flask.publish(&json!({ "data": "x", "channel": "nobody" })).await, 0);
}

#[tokio::test]
async fn readers_of_flask_sse_receive_the_events_of_the_hub() {
    let redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &[]).await;
    let flask = Flask::start(&redis).await;
    let asked = [flask.ask_for("/stream?channel=news").await, flask.ask_for("/stream?channel=news").await];
    until_subscribed(&redis, "news", 2).await;

    // Text and JSON, with and without an id and a type, so that Flask-SSE reads each part of a payload.
    for event in [
        json!({ "data": "l1\nl2", "type": "t", "id": "own 7" }),
        json!({ "data": "é🌊 \u{1f600} \\ \"quoted\" \u{7f}" }),
        json!({ "data": { "a": 1.5, "b": [null, true, "ü"] }, "type": "price" }),
        json!({ "data": null }),
        json!({ "data": "after", "retry": 1500 }),
    ] {
        let mut event = event;
        event["channel"] = json!("news");
        hub.publish(&event.to_string()).await;
    }
    for connection in asked {
        let mut stream = EventStream::read_head(connection).await;
        assert_eq!(stream.head.header("content-type"), Some("text/event-stream; charset=utf-8"));
        let mut messages = Vec::new();
        for _ in 0..5 {
            messages.push(stream.message().await);
        }
        let seen: Vec<_> = messages.iter().map(|message| (&*message.event_type, &*message.data)).collect();
        let expected = [
            ("t", "l1\nl2"),
            ("message", "é🌊 \u{1f600} \\ \"quoted\" \u{7f}"),
            ("price", r#"{"a": 1.5, "b": [null, true, "\u00fc"]}"#),
            ("message", "null"),
            ("message", "after"),
        ];
        assert_eq!(seen, expected);
        // Flask-SSE does not send positions, so the last id is an id of a publisher.
        assert!(messages.iter().all(|message| message.last_event_id == "own 7"), "{messages:?}");
    }
}

/// The older extension is not a package, so a few lines of the program read as it does. It accepts arrays only.
#[tokio::test]
async fn readers_of_the_older_extension_receive_events_that_the_hub_publishes_as_arrays() {
    let redis = RedisServer::start(&[]);
    let hub = hub_on(&redis, &["--redis-plain-format", "array"]).await;
    let other = hub_on(&redis, &[]).await;
    let flask = Flask::start(&redis).await;
    let asked = flask.ask_for("/older?channel=news").await;
    until_subscribed(&redis, "news", 1).await;
    let mut ours = other.stream("/stream?channel=news").await;
    ours.until_live().await;

    let told = [
        (json!({ "data": "l1\nl2", "type": "t" }), "t", "l1\nl2"),
        (json!({ "data": { "n": 1.5 } }), "message", r#"{"n":1.5}"#),
        (json!({ "data": 7, "type": "é🌊", "id": "own" }), "é🌊", "7"),
        (json!({ "data": "after", "retry": 1500 }), "message", "after"),
    ];
    let mut theirs = EventStream::read_head(asked).await;
    for (event, event_type, data) in told {
        let mut body = event.clone();
        body["channel"] = json!("news");
        let published = hub.publish(&body.to_string()).await;
        let seen = theirs.message().await;
        assert_eq!((&*seen.event_type, &*seen.data), (event_type, data));
        // A hub reads both formats.
        let seen = ours.message().await;
        assert_eq!((&*seen.event_type, &*seen.data), (event_type, data));
        assert_eq!(published["id"], seen.last_event_id);
    }
}
