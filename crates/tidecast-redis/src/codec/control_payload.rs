//! Payloads on the control channel, by which nodes reach each other.

/// The first byte of a hub's control message. No channel's name has it. Nodes of earlier versions take every payload for
/// the name of a deleted channel, and know no channel of that name.
const MESSAGE_PREFIX: [u8; 1] = [1];

/// A payload that a node published on the control channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlPayload<'a> {
    /// A control message of its hub.
    Message(&'a [u8]),
    /// The pub/sub name of a channel that it deleted.
    Deleted(&'a [u8]),
}

impl<'a> ControlPayload<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Self {
        payload.strip_prefix(&MESSAGE_PREFIX).map_or(Self::Deleted(payload), Self::Message)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Message(message) => [&MESSAGE_PREFIX, *message].concat(),
            Self::Deleted(name) => name.to_vec(),
        }
    }
}
