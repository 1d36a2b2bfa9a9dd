//! Control messages: short messages from a hub to every node of its broker, including its own.
//!
//! A message is text: a topic, a space, and the rest. A node ignores an unknown topic, because it may be that of a newer
//! node.

use crate::{Channel, limits::CONTROL_BYTES_MAX};

/// A control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ControlMessage {
    /// The channel was deleted. The broker tells the nodes that read it. A node that no longer reads it drops its log.
    Forgotten(Channel),
}

impl ControlMessage {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Forgotten(channel) => format!("forgotten {channel}").into_bytes(),
        }
    }

    /// Parses a message. Returns `None` if it is too long, malformed, or of an unknown topic.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > CONTROL_BYTES_MAX {
            return None;
        }
        let (topic, rest) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
        match topic {
            "forgotten" => Channel::new(rest).ok().map(Self::Forgotten),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_bytes_and_others_are_ignored() {
        for name in ["sse", "two words", &"x".repeat(255)] {
            let message = ControlMessage::Forgotten(Channel::new(name).unwrap());
            assert_eq!(ControlMessage::parse(&message.to_bytes()), Some(message));
        }
        let long = format!("forgotten {}", "x".repeat(CONTROL_BYTES_MAX));
        for other in ["", "forgotten", "forgotten ", "forgotten \u{1}", "newer sse", &long] {
            assert_eq!(ControlMessage::parse(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(ControlMessage::parse(b"forgotten \xff"), None);
    }
}
