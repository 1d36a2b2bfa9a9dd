//! An event as wire bytes: before it has a position, and at it.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use crate::{
    Event, EventId, EventType, Position,
    log::FrameBounds,
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

/// Appends the id line of an event: its own id, or its position.
pub(crate) fn put_id_line(out: &mut impl BufMut, position: Position, event: &Event) {
    match event.id() {
        Some(id) => wire::put_id_line(out, id.as_str().as_bytes()),
        None => position.put_id_line(out),
    }
}

/// Appends an event at its position as wire bytes.
pub(crate) fn put(out: &mut BytesMut, position: Position, event: &Event) -> FrameBounds {
    let start = out.len();
    put_id_line(out, position, event);
    let id_len = out.len() - start;
    out.put_slice(&Encoded::new(event).shared);
    FrameBounds { len: out.len() - start, id_len, position, is_json: event.data_json().is_some() }
}

/// An event at its position as wire bytes, encoded once and shared by every subscriber.
///
/// Cheap to clone: a reference into the channel's log. It keeps the memory around it alive, up to 64 KiB or its own size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    id_len: usize,
    is_json: bool,
}

impl Frame {
    /// A frame of its bytes, which were read with these bounds.
    pub(crate) fn new(bytes: Bytes, bounds: &FrameBounds) -> Self {
        Self { bytes, id_len: bounds.id_len, is_json: bounds.is_json }
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
