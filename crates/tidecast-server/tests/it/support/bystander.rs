//! A well-behaved client that must not notice how others misbehave.

use tidecast_test::{EventStream, HubProcess};

/// A stream that stays open while other clients misbehave.
pub(crate) struct Bystander<'a> {
    hub: &'a HubProcess,
    stream: EventStream,
    count: u64,
}

impl<'a> Bystander<'a> {
    pub(crate) async fn new(hub: &'a HubProcess) -> Self {
        let stream = hub.stream("/stream?channel=bystander").await;
        Self { hub, stream, count: 0 }
    }

    /// Publishes an event and checks that the stream receives it next: the hub works, and `after` had no effect on it.
    pub(crate) async fn receives_the_next_event(&mut self, after: &str) {
        self.count += 1;
        let response = self.hub.publish(&format!(r#"{{"channel":"bystander","data":{}}}"#, self.count)).await;
        assert_eq!(response["receivers"], 1, "after {after}");
        let message = self.stream.message().await;
        assert_eq!(message.data, self.count.to_string(), "after {after}");
    }

    /// Checks that nobody else has published anything.
    pub(crate) async fn received_everything(self) {
        assert_eq!(self.hub.metric("tidecast_events_published_total").await, self.count);
    }
}
