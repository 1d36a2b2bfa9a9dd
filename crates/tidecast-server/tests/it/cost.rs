//! Bounds on the memory that one client can take by sending requests and by not reading responses.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tidecast_test::{HttpConnection, Process, request_bytes};

use crate::TIDECAST;

/// Request bodies were bounded one by one: four hundred slow ones took 663 MiB. The unit test of `body.rs` checks that
/// they share one bound.
#[tokio::test]
async fn a_body_that_exceeds_the_shared_bound_is_refused_and_small_ones_are_accepted() {
    let hub = TIDECAST.serve(&["--bodies-bytes", "300KiB"]);
    let text = [("Content-Type", "text/plain")];
    let publish = async |bytes: usize| {
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&request_bytes(hub.address, "POST", "/publish", &text, &vec![b'x'; bytes])).await;
        connection.response("POST").await
    };
    let refused = publish(400_000).await;
    assert!(refused.problem(503).contains("bodies_bytes"));
    assert_eq!(refused.head.header("retry-after"), Some("1"));
    for bytes in [5, 1_000, 200_000] {
        assert_eq!(publish(bytes).await.head.status, 200);
    }
}

/// The events of a response were copied several times and held until the client had read the last: a hundred such
/// requests took 400 MiB and blocked the hub.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_page_of_past_events_is_written_as_the_client_reads_it() {
    const EVENTS: usize = 70;
    const CLIENTS: usize = 100;
    let hub = TIDECAST.serve(&[]);
    let data = |number: usize| format!("{number} \"ä\"{}", "x".repeat(100_000));
    for number in 0..EVENTS {
        hub.publish(&json!({"channel": "a", "data": data(number)}).to_string()).await;
    }
    let ask = request_bytes(hub.address, "GET", "/channels/a/events?last=1000", &[], b"");
    // One client reads the whole page.
    let mut connection = HttpConnection::open(hub.address).await;
    connection.send(&ask).await;
    connection.response("GET").await;
    let before = hub.resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut connection = HttpConnection::open_with_receive_buffer(hub.address, 4096).await;
        connection.send(&ask).await;
        // The response has begun.
        assert!(connection.fill(1024).await.unwrap());
        clients.push(connection);
    }
    assert_eq!(hub.get("/healthz").await.text(), "alive\n");
    let grown = hub.resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB", grown >> 20);
    // A response that is read is complete.
    let response = clients[0].response("GET").await.json();
    let events = response["events"].as_array().unwrap();
    assert_eq!(events.len(), EVENTS);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["data"], data(number));
        assert_eq!((&event["id"], &event["type"]), (&event["position"], &"message".into()));
    }
}

#[tokio::test]
async fn pages_of_past_events_of_any_size_are_complete() {
    let hub = TIDECAST.serve(&["--log-events", "300"]);
    let events: Vec<Value> = (0..400).map(|number| json!({"channel": "a", "data": number.to_string()})).collect();
    hub.publish(&Value::from(events).to_string()).await;
    for last in [0, 1, 2, 7, 100, 299, 300, 301, 1000] {
        let response = hub.get(&format!("/channels/a/events?last={last}")).await.json();
        let data: Vec<_> = response["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect();
        let expected: Vec<Value> = (400 - last.min(300)..400).map(|number| number.to_string().into()).collect();
        assert_eq!(data, expected, "{last}");
        assert_eq!(response["channel"], "a");
    }
    hub.get("/channels/unknown/events").await.problem(404);
    let _reader = hub.stream("/stream?channel=silent").await;
    assert_eq!(hub.get("/channels/silent/events").await.json(), json!({"channel": "silent", "events": []}));
    assert_eq!(hub.request("HEAD", "/channels/a/events", &[], b"").await.head.status, 200);
}

/// Each stream could name 64 new channels, so one client could make the hub keep any number of channels.
#[tokio::test]
async fn the_number_of_channels_of_one_client_is_bounded() {
    let hub = TIDECAST.serve(&["--channels-per-client-max", "10"]);
    let query = |from: usize, to: usize| {
        let names: Vec<_> = (from..to).map(|number| format!("channel=c{number}")).collect();
        format!("/stream?{}", names.join("&"))
    };
    let eight = hub.stream(&query(0, 8)).await;
    let turned_away = hub.get(&query(8, 11)).await;
    assert!(turned_away.text().starts_with("retry: "), "{turned_away:?}");
    let _two = hub.stream(&query(8, 10)).await;
    assert!(hub.get("/stream").await.text().starts_with("retry: "));
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"client-full\"}").await, 2);
    assert_eq!(hub.metric("tidecast_channels").await, 10);
    drop(eight);
    hub.until_metric("tidecast_streams", 1).await;
    let _others = hub.stream(&query(20, 28)).await;
}

/// The hub did not report the limits that follow from the limit of open files, and started with a few connections if
/// that limit was low.
#[tokio::test]
async fn a_low_limit_of_open_files_is_reported() {
    let limited = |files: usize, arguments: &str| {
        let program = env!("CARGO_BIN_EXE_tidecast");
        let line = format!("ulimit -n {files}; exec {program} {arguments}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let finished = Process::start(&mut shell).finish();
        (finished.status.code(), finished.stdout, finished.stderr)
    };
    let number = |text: &str, key: &str| -> usize {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("#{key} = ")));
        let line = line.unwrap_or_else(|| panic!("no {key} in {text}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (_, many, quiet) = limited(4_096, "print-config");
    assert_eq!((number(&many, "connections_max"), number(&many, "streams_max")), (3_840, 3_584));
    assert_eq!(quiet, "");
    let (_, few, warned) = limited(400, "print-config");
    let (connections, streams) = (number(&few, "connections_max"), number(&few, "streams_max"));
    assert!(connections <= 300 && streams < connections && streams > 0, "{few}");
    assert!(
        warned.contains(&format!("the limit of open files is 400, which leaves {connections} connections")),
        "{warned}"
    );
    // The hub does not start with fewer files than it needs for itself.
    let (code, _, refused) = limited(30, "serve --listen 127.0.0.1:0");
    assert!(code == Some(1) && refused.contains("the limit of open files is 30"), "{refused}");
    // A warning says that streams can take all connections, so that publishing would have none.
    let (_, _, warned) = limited(4_096, "check-config --connections-max 100 --streams-max 100");
    assert!(warned.contains("streams can take every connection"), "{warned}");
}
