//! A channel with thousands of readers under a flood of events, and a channel with two readers: events of the small
//! channel do not wait for the end of the flood, and the large one loses none.

use tidecast_test::{EventStream, HttpConnection, HubProcess, request_bytes, within};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::TIDECAST;
use crate::{alone, as_many_as_fit};

const READERS: usize = 4_000;
const SMALL_EVENTS: usize = 40;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Publishes to the large channel without pause until it is told to stop, and then publishes the last event.
fn flood(hub: &HubProcess, mut stop: watch::Receiver<bool>) -> JoinHandle<usize> {
    let address = hub.address;
    tokio::spawn(async move {
        let mut connection = HttpConnection::open(address).await;
        let mut published = 0;
        loop {
            let last = *stop.borrow_and_update();
            let data = if last { "last".to_owned() } else { format!("{published}{}", "f".repeat(100)) };
            let body = serde_json::json!({ "channel": "large", "data": data }).to_string();
            connection.send(&request_bytes(address, "POST", "/publish", &[JSON], body.as_bytes())).await;
            assert_eq!(connection.response("POST").await.head.status, 200);
            published += 1;
            if last {
                return published;
            }
        }
    })
}

#[tokio::test]
async fn a_flood_to_thousands_does_not_delay_a_channel_of_two() {
    let _alone = alone().await;
    let readers = as_many_as_fit(READERS);
    let hub = TIDECAST.serve(&["--keep-alive", "0", "--log-events", "1000000"]);
    let mut large = JoinSet::new();
    for _ in 0..readers {
        let mut stream = hub.stream("/stream?channel=large").await;
        stream.until_live().await;
        large.spawn(async move { read_to_the_last(stream).await });
    }
    let mut small = Vec::new();
    for _ in 0..2 {
        let mut stream = hub.stream("/stream?channel=small").await;
        stream.until_live().await;
        small.push(stream);
    }
    hub.until_metric("tidecast_connections_detached_total", readers as u64 + 2).await;
    let (stop, stopped) = watch::channel(false);
    let flood = flood(&hub, stopped);
    for number in 0..SMALL_EVENTS {
        // The result counts only while the flood is under way.
        let body = serde_json::json!({ "channel": "small", "data": number }).to_string();
        hub.publish(&body).await;
        for stream in &mut small {
            assert_eq!(stream.message().await.data, number.to_string());
        }
    }
    // All events of the small channel have arrived, and the flood has not ended.
    assert!(!flood.is_finished());
    stop.send(true).unwrap();
    let published = within("the flood", flood).await.unwrap();
    while let Some(reader) = within("the readers", large.join_next()).await {
        assert_eq!(reader.unwrap(), published);
    }
}

/// Reads to the last event and returns the number of events.
async fn read_to_the_last(mut stream: EventStream) -> usize {
    for count in 1.. {
        if stream.message().await.data == "last" {
            return count;
        }
    }
    0
}
