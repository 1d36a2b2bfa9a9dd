//! Streams that end after their lifetime.

use std::time::Duration;

use tidecast::wire::Item;

use crate::TIDECAST;

/// A client that reconnects each time misses nothing, also if the stream is never silent.
#[tokio::test]
async fn a_stream_ends_after_its_lifetime_and_its_client_resumes() {
    const EVENTS: usize = 40;
    let hub = TIDECAST.serve(&["--stream-lifetime", "200ms"]);
    let mut quiet = hub.stream("/stream?channel=quiet").await;
    let rest = quiet.rest().await;
    assert!(matches!(rest[..], [Item::Retry(first), Item::Retry(last)] if first == last), "{rest:?}");

    let mut source = hub.source("/stream?channel=busy");
    let mut several = hub.source("/stream?channel=busy&channel=other");
    source.connected().await;
    several.connected().await.until_live().await;
    for number in 0..EVENTS {
        hub.publish(&format!(r#"{{"channel":"busy","data":{number}}}"#)).await;
        assert_eq!(source.message().await.data, number.to_string());
        assert_eq!(several.message().await.data, number.to_string());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let opened = hub.metric("tidecast_subscriptions_opened_total").await;
    assert!(opened > 6, "nobody was ended: {opened}");
    for reason in ["expired", "restarted", "unknown-id", "too-slow"] {
        assert_eq!(hub.metric(&format!("tidecast_resets_total{{reason=\"{reason}\"}}")).await, 0);
    }
}
