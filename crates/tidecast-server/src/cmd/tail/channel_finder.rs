//! Finds the channel of an event.
//!
//! An event does not name its channel. On several channels its id is the cursor, with one position per channel, and the
//! position that has changed is that of the event's channel.

use tidecast::wire::Message;

/// The channels of a connection, in the order of the request.
#[derive(Debug)]
pub(super) struct ChannelFinder {
    channels: Vec<String>,
}

impl ChannelFinder {
    pub(super) fn new(channels: Vec<String>) -> Self {
        Self { channels }
    }

    /// Returns the channel of an event that followed an id; `None` if it is unknown.
    pub(super) fn find(&self, before: &str, message: &Message) -> Option<&str> {
        if let [channel] = &self.channels[..] {
            return Some(channel);
        }
        let mut moved = None;
        let (mut before, mut after) = (before.split(','), message.last_event_id.split(','));
        for channel in &self.channels {
            let (before, after) = (before.next()?, after.next()?);
            if before != after && moved.replace(channel).is_some() {
                return None;
            }
        }
        moved.map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_that_changed_is_the_events() {
        let message =
            |id: &str| Message { event_type: String::new(), data: String::new(), last_event_id: id.to_owned() };
        let two = ChannelFinder::new(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(two.find("0.0,0.0", &message("0.0,00c0ffee1234.1")), Some("b"));
        assert_eq!(two.find("00c0ffee1235.1,0.0", &message("00c0ffee1235.2,0.0")), Some("a"));
        for (before, after) in [("", "0.0,0.0"), ("0.0,0.0", "0.0,0.0"), ("1,1", "2,2"), ("1,1", "own")] {
            assert_eq!(two.find(before, &message(after)), None, "{before} {after}");
        }
        assert_eq!(ChannelFinder::new(vec!["a".to_owned()]).find("", &message("own")), Some("a"));
    }
}
