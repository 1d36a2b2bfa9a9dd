//! Somebody else's stream, which must not notice what others do wrong.

use super::{Hub, Stream};

/// A stream that stays open while the hub is treated badly.
pub(crate) struct Witness<'a> {
    hub: &'a Hub,
    stream: Stream,
    count: u64,
}

impl<'a> Witness<'a> {
    pub(crate) async fn new(hub: &'a Hub) -> Self {
        let stream = hub.stream("/stream?channel=witness").await;
        Self { hub, stream, count: 0 }
    }

    /// Publishes to the stream and checks that it is what comes next: the hub lives, and `after` left nothing here.
    pub(crate) async fn sees_the_next_event(&mut self, after: &str) {
        self.count += 1;
        let answer = self.hub.publish(&format!(r#"{{"channel":"witness","data":{}}}"#, self.count)).await;
        assert_eq!(answer["receivers"], 1, "after {after}");
        let message = self.stream.message().await;
        assert_eq!(message.data, self.count.to_string(), "after {after}");
    }

    /// Checks that nothing was published but for the witness.
    pub(crate) async fn saw_everything(self) {
        assert_eq!(self.hub.metric("tidecast_events_published_total").await, self.count);
    }
}
