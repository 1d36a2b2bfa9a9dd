//! An event as wire bytes: before it has a position, at its position, and without one.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::{
    decode::{Decoder, Item, Message},
    encode::{encode, encoded_len_hint, put_id_end},
    reset::missed_frame,
};
use crate::{Event, EventId, EventType, Position};

/// An event and the part of its frame that does not depend on its position, encoded before any lock is taken.
#[derive(Debug)]
pub struct EncodedEvent<'a> {
    pub(crate) event: &'a Event,
    pub(crate) shared: Vec<u8>,
}

impl<'a> EncodedEvent<'a> {
    /// Encodes an event.
    #[must_use]
    pub fn new(event: &'a Event) -> Self {
        let mut shared = Vec::with_capacity(encoded_len_hint(event));
        encode(event, &mut shared);
        Self { event, shared }
    }
}

impl EncodedEvent<'_> {
    /// Returns whether every reader would get the same bytes for the other event.
    #[must_use]
    pub fn is_same(&self, other: &EncodedEvent<'_>) -> bool {
        self.event.id() == other.event.id() && self.shared == other.shared
    }
}

/// Appends the end of an event's frame: the line with its own id or its position, and the empty line.
pub(crate) fn put_frame_end(out: &mut impl BufMut, position: Position, event: &Event) {
    put_id_end(out, |out| match event.id() {
        Some(id) => out.put_slice(id.as_str().as_bytes()),
        None => position.write_to(out),
    });
}

/// Appends the frame of an event at its position.
pub(crate) fn put_frame(out: &mut BytesMut, position: Position, event: &Event) -> FrameBounds {
    let start = out.len();
    encode(event, out);
    let shared_len = out.len() - start;
    put_frame_end(out, position, event);
    FrameBounds { len: out.len() - start, shared_len, position, is_json: event.data_json().is_some() }
}

/// The bounds of one frame among several that lie side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameBounds {
    pub(crate) len: usize,
    /// The length of the lines before the id line and the empty line.
    pub(crate) shared_len: usize,
    pub(crate) position: Position,
    /// Whether the data was published as JSON, which the bytes alone do not show.
    pub(crate) is_json: bool,
}

impl FrameBounds {
    /// Returns whether the frame has an id line. Only a foreign event's frame has no id line.
    pub(crate) fn has_id(&self) -> bool {
        self.len > self.shared_len + "\n".len()
    }
}

/// An event as wire bytes, encoded once and shared by every subscriber. Cheap to clone.
///
/// A hub's frame is a reference into the channel's log. It keeps the memory around it alive: up to 64 KiB, or its own size
/// if that is larger. A [publisher](crate::Publisher)'s frame has no position and owns its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    shared_len: usize,
    is_json: bool,
}

impl Frame {
    /// Creates a frame from its bytes and bounds.
    pub(crate) fn new(bytes: Bytes, bounds: &FrameBounds) -> Self {
        Self { bytes, shared_len: bounds.shared_len, is_json: bounds.is_json }
    }

    /// Encodes an event without a position. The frame has an id only if the event has its own.
    pub(crate) fn without_position(event: &Event) -> Self {
        let id = event.id().map(|id| id.as_str().as_bytes());
        let mut bytes = Vec::with_capacity(encoded_len_hint(event) + id.map_or(1, |id| "id: \n\n".len() + id.len()));
        encode(event, &mut bytes);
        let shared_len = bytes.len();
        match id {
            Some(id) => put_id_end(&mut bytes, |out| out.put_slice(id)),
            None => bytes.put_u8(b'\n'),
        }
        // Data of several lines has made it grow, and the frame may wait for long.
        bytes.shrink_to_fit();
        Self { bytes: bytes.into(), shared_len, is_json: event.data_json().is_some() }
    }

    /// Creates the reset that stands in for a number of events which a publisher's subscriber missed.
    pub(crate) fn missed(events: u64) -> Self {
        let bytes = missed_frame(events);
        Self { shared_len: bytes.len() - 1, bytes, is_json: true }
    }

    /// Returns the frame as a subscriber of this one channel gets it, with its id line and the empty line.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns the lines that subscribers of any set of channels share: all but the id line and the empty line.
    #[must_use]
    pub fn without_id(&self) -> Bytes {
        self.bytes.slice(..self.shared_len)
    }

    /// Returns the event that the frame was made from, with LF as its line ends.
    pub(crate) fn event(&self, position: Position) -> Event {
        let (Message { data, event_type, last_event_id }, retry) = self.decode();
        let event_type = Some(event_type).filter(|name| name != "message");
        let own_id = Some(last_event_id).filter(|id| *id != position.to_string());
        let json = if self.is_json { RawValue::from_string(data.clone()).ok() } else { None };
        // A written type or id was valid when the event was made.
        Event::from_parts(
            json.map_or_else(|| Event::text(data), Event::raw_json),
            event_type.and_then(|name| EventType::new(&name).ok()),
            own_id.and_then(|id| EventId::new(&id).ok()),
            retry,
        )
    }

    /// Decodes the event as a browser would dispatch it. Each call makes a copy.
    #[must_use]
    pub fn message(&self) -> Message {
        self.decode().0
    }

    fn decode(&self) -> (Message, Option<Duration>) {
        let mut message = Message { event_type: String::new(), data: String::new(), last_event_id: String::new() };
        let mut retry = None;
        // A frame holds one event, and the decoder accepts its size.
        let _ = Decoder::new().feed(&self.bytes, |item| match item {
            Item::Message(decoded) => message = decoded,
            Item::Retry(decoded) => retry = Some(decoded),
        });
        (message, retry)
    }
}
