//! An event as wire bytes: before it has a position, and at it.

use bytes::Bytes;

use crate::{
    Event,
    wire::{self, Decoder, Item, Message},
};

/// An event with the part of its frame that does not depend on its position, so that nothing is left to encode once a
/// lock is held.
#[derive(Debug)]
pub struct Encoded<'a> {
    pub(crate) event: &'a Event,
    pub(crate) shared: Vec<u8>,
}

impl<'a> Encoded<'a> {
    /// Encodes an event.
    #[must_use]
    pub fn new(event: &'a Event) -> Self {
        let mut shared = Vec::with_capacity(wire::encoded_len(event));
        wire::encode(event, &mut shared);
        Self { event, shared }
    }
}

/// An event at its position as wire bytes, encoded once and shared by every subscriber.
///
/// Cheap to clone: a reference into the channel's log. It keeps the memory around it alive, up to 64 KiB or its own size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    id_len: usize,
}

impl Frame {
    pub(crate) fn new(bytes: Bytes, id_len: usize) -> Self {
        Self { bytes, id_len }
    }

    /// The frame as it goes to a subscriber of this channel alone: with its id line, and the empty line at its end.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The frame without its id line: what is the same for subscribers of any channels.
    #[must_use]
    pub fn without_id(&self) -> Bytes {
        self.bytes.slice(self.id_len..)
    }

    /// The event as a browser would dispatch it: a copy, made at each call.
    #[must_use]
    pub fn message(&self) -> Message {
        let mut message = Message { event_type: String::new(), data: String::new(), last_event_id: String::new() };
        // A frame was written by this crate's encoder, so it holds one event of a size that the decoder takes.
        let _ = Decoder::new().feed(&self.bytes, |item| {
            if let Item::Message(decoded) = item {
                message = decoded;
            }
        });
        message
    }
}
