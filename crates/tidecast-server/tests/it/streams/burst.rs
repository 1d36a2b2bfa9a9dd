//! Many events at once: a client that reads gets no reset and misses nothing, however busy the machine is.

use tidecast_test::{HttpConnection, request_bytes, within};
use tokio::task::JoinSet;

use crate::TIDECAST;

const EVENTS: usize = 5_000;
const READERS: usize = 50;

#[tokio::test]
async fn a_burst_resets_no_reader() {
    let hub = TIDECAST.serve(&[]);
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut stream = hub.stream("/stream").await;
        stream.until_live().await;
        readers.spawn(async move {
            for number in 0..EVENTS {
                let message = stream.message().await;
                assert_eq!(message.data, number.to_string(), "{message:?}");
            }
        });
    }
    // All in one write, as pipelined requests, so that only the hub limits the rate.
    let mut bytes = Vec::new();
    for number in 0..EVENTS {
        let text = [("Content-Type", "text/plain")];
        bytes.extend(request_bytes(hub.address, "POST", "/publish", &text, number.to_string().as_bytes()));
    }
    let mut connection = HttpConnection::open(hub.address).await;
    let (mut reads, mut writes) = tokio::io::split(&mut connection.socket);
    let writing = async {
        tokio::io::AsyncWriteExt::write_all(&mut writes, &bytes).await.unwrap();
    };
    let reading = async {
        let (mut responses, mut rest) = (0, Vec::new());
        while responses < EVENTS {
            tokio::io::AsyncReadExt::read_buf(&mut reads, &mut rest).await.unwrap();
            // The unread rest must be kept: it was once taken for another response.
            let whole = rest.iter().rposition(|byte| *byte == b'}').map_or(0, |end| end + 1);
            let text = String::from_utf8(rest.drain(..whole).collect()).unwrap();
            responses += text.matches("\r\n\r\n{").count();
            assert_eq!(text.matches("HTTP/1.1 200 ").count(), text.matches("HTTP/1.1 ").count(), "{text}");
        }
    };
    within("publishing", async { tokio::join!(writing, reading) }).await;
    while let Some(read) = within("the readers", readers.join_next()).await {
        read.unwrap();
    }
    for reason in ["expired", "restarted", "unknown-id", "too-slow"] {
        assert_eq!(hub.metric(&format!("tidecast_resets_total{{reason=\"{reason}\"}}")).await, 0, "{reason}");
    }
    assert_eq!(hub.metric("tidecast_events_delivered_total").await, (EVENTS * READERS) as u64);
}

#[tokio::test]
async fn batches_of_a_thousand_reset_no_reader() {
    let hub = TIDECAST.serve(&[]);
    let mut streams = Vec::new();
    for _ in 0..READERS {
        streams.push(hub.stream("/stream?channel=a&channel=b").await);
    }
    for batch in 0..EVENTS / 1_000 {
        let events: Vec<_> = (batch * 1_000..(batch + 1) * 1_000)
            .map(|number| format!(r#"{{"channel":"a","data":{number}}}"#))
            .collect();
        hub.publish(&format!("[{}]", events.join(","))).await;
    }
    // The clients read only now, so the events come from the log.
    for stream in &mut streams {
        for number in 0..EVENTS {
            assert_eq!(stream.message().await.data, number.to_string());
        }
    }
}
