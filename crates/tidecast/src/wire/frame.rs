//! An event as wire bytes: before it has a position, at it, and where there are none.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::{Decoder, Item, Message, encode, encoded_len, missed_frame, put_id_end};
use crate::{Event, EventId, EventType, Position, log::FrameBounds};

/// An event with the part of its frame that does not depend on its position, so that nothing is left to encode once a
/// lock is held.
#[derive(Debug)]
pub struct EncodedEvent<'a> {
    pub(crate) event: &'a Event,
    pub(crate) shared: Vec<u8>,
}

impl<'a> EncodedEvent<'a> {
    /// Encodes an event.
    #[must_use]
    pub fn new(event: &'a Event) -> Self {
        let mut shared = Vec::with_capacity(encoded_len(event));
        encode(event, &mut shared);
        Self { event, shared }
    }
}

impl EncodedEvent<'_> {
    /// Returns whether another event is the same to every reader.
    #[must_use]
    pub fn is_same(&self, other: &EncodedEvent<'_>) -> bool {
        self.event.id() == other.event.id() && self.shared == other.shared
    }
}

/// Appends what an event's frame ends with: the line of its own id or its position, and the empty line.
pub(crate) fn put_end(out: &mut impl BufMut, position: Position, event: &Event) {
    put_id_end(out, |out| match event.id() {
        Some(id) => out.put_slice(id.as_str().as_bytes()),
        None => position.write_to(out),
    });
}

/// Appends an event at its position as wire bytes.
pub(crate) fn put(out: &mut BytesMut, position: Position, event: &Event) -> FrameBounds {
    let start = out.len();
    out.put_slice(&EncodedEvent::new(event).shared);
    let shared_len = out.len() - start;
    put_end(out, position, event);
    FrameBounds { len: out.len() - start, shared_len, position, is_json: event.data_json().is_some() }
}

/// An event as wire bytes, encoded once and shared by every subscriber.
///
/// A hub's is at its position: a reference into the channel's log, which keeps the memory around it alive, up to 64 KiB or
/// its own size. A [publisher](crate::Publisher)'s has no position, and no memory but its own. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    shared_len: usize,
    is_json: bool,
}

impl Frame {
    /// A frame of its bytes, which were read with these bounds.
    pub(crate) fn new(bytes: Bytes, bounds: &FrameBounds) -> Self {
        Self { bytes, shared_len: bounds.shared_len, is_json: bounds.is_json }
    }

    /// An event that has no position: it has no id unless it has one of its own.
    pub(crate) fn unplaced(event: &Event) -> Self {
        let id = event.id().map(|id| id.as_str().as_bytes());
        let shared_len = encoded_len(event);
        let mut bytes = Vec::with_capacity(shared_len + id.map_or(0, |id| "id: \n".len() + id.len()) + 1);
        encode(event, &mut bytes);
        match id {
            Some(id) => put_id_end(&mut bytes, |out| out.put_slice(id)),
            None => bytes.put_u8(b'\n'),
        }
        Self { bytes: bytes.into(), shared_len, is_json: event.data_json().is_some() }
    }

    /// In the place of so many events that a publisher's subscriber missed.
    pub(crate) fn missed(events: u64) -> Self {
        let bytes = missed_frame(events);
        Self { shared_len: bytes.len() - 1, bytes, is_json: true }
    }

    /// The frame as it goes to a subscriber of this channel alone: with its id line, and the empty line at its end.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns the lines that are the same for subscribers of any channels: all but the id line, if there is one, and the
    /// empty line at the end.
    #[must_use]
    pub fn without_id(&self) -> Bytes {
        self.bytes.slice(..self.shared_len)
    }

    /// The event that it was made of, as far as the wire tells: line ends are LF.
    pub(crate) fn event(&self, position: Position) -> Event {
        let (mut retry, mut message) = (None, None);
        // As below.
        let _ = Decoder::new().feed(&self.bytes, |item| match item {
            Item::Message(decoded) => message = Some(decoded),
            Item::Retry(decoded) => retry = Some(decoded),
        });
        let Some(Message { data, event_type, last_event_id }) = message else { return Event::text("") };
        let event_type = Some(event_type).filter(|name| name != "message");
        let own_id = Some(last_event_id).filter(|id| *id != position.to_string());
        let json = if self.is_json { RawValue::from_string(data.clone()).ok() } else { None };
        // What was written as a type or an id was one.
        Event::from_parts(
            json.map_or_else(|| Event::text(data), Event::raw_json),
            event_type.and_then(|name| EventType::new(&name).ok()),
            own_id.and_then(|id| EventId::new(&id).ok()),
            retry,
        )
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
