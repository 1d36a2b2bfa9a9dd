//! Decoding an event stream into the events that a browser would dispatch.
//!
//! It follows section 9.2.6, "Interpreting an event stream", of the WHATWG HTML standard, on bytes that come in pieces of any
//! size. It does no I/O and keeps no time: a client feeds it the bytes that it has read.

use std::{mem, time::Duration};

use memchr::memchr2;

use crate::{Error, Result};

/// Most bytes of an incomplete event that a decoder keeps: 16 MiB.
pub const DECODER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Decodes an event stream.
///
/// # Examples
///
/// ```
/// use tidecast::wire::{Decoder, Item};
///
/// let mut decoder = Decoder::new();
/// let mut items = Vec::new();
/// decoder.feed(b"id: 7\ndata: hel", |item| items.push(item))?;
/// decoder.feed(b"lo\n\n", |item| items.push(item))?;
/// let [Item::Message(message)] = &items[..] else { panic!("one event") };
/// assert_eq!(message.data, "hello");
/// assert_eq!(message.last_event_id, "7");
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    /// The last line ended with a CR, so that an LF right after it belongs to it.
    after_cr: bool,
    /// At least one line has ended, so that no byte order mark can follow.
    begun: bool,
    data: String,
    event_type: String,
    /// The standard's "last event ID buffer", which outlives events.
    id: String,
    /// The id that was dispatched last, from which a client would resume.
    last_event_id: String,
    /// The id that stands alone at the beginning. It is of no use after the first empty line.
    opening_id: String,
    past_opening: bool,
}

/// One item of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An event was dispatched.
    Message(Message),
    /// The reconnection time was set.
    Retry(Duration),
}

/// A dispatched event, with the fields of the standard's `MessageEvent`. It will have no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's type, or `message` if the stream gave none.
    pub event_type: String,
    /// The data, its lines joined by LF.
    pub data: String,
    /// The last id that the stream gave, with this event or an earlier one. May be empty.
    pub last_event_id: String,
}

impl Decoder {
    /// Creates a decoder at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes further bytes, and calls `on_item` for each item that they complete.
    ///
    /// As the standard requires, an incomplete event at the end of a stream is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`] if an incomplete event exceeds [`DECODER_BYTES_MAX`]. The decoder is then of no more use.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_item: impl FnMut(Item)) -> Result<()> {
        while !bytes.is_empty() {
            if mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr2(b'\r', b'\n', bytes) else {
                self.keep(bytes)?;
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.check_size(end)?;
                self.end_line(&bytes[..end], &mut on_item)?;
            } else {
                self.keep(&bytes[..end])?;
                let mut line = mem::take(&mut self.line);
                self.end_line(&line, &mut on_item)?;
                line.clear();
                self.line = line;
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// Returns the id with which a client would resume: an `EventSource`'s last event ID.
    ///
    /// Every block sets it, even a block without data.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns the id with which a client of a Tidecast stream resumes: the [last event ID](Self::last_event_id), or, until
    /// the first empty line, the id of the first block, which may have no empty line.
    ///
    /// With other servers an event may begin with its id, so that a client that is cut within its first event would miss
    /// that event.
    #[must_use]
    pub fn resume_id(&self) -> &str {
        if self.past_opening { &self.last_event_id } else { &self.opening_id }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_size(bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn check_size(&self, more: usize) -> Result<()> {
        let bytes = self.line.len() + self.data.len() + more;
        if bytes > DECODER_BYTES_MAX {
            return Err(Error::too_large("an event of the stream", bytes, DECODER_BYTES_MAX));
        }
        Ok(())
    }

    fn end_line(&mut self, mut line: &[u8], on_item: &mut impl FnMut(Item)) -> Result<()> {
        if !mem::replace(&mut self.begun, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(on_item);
            return Ok(());
        }
        // Line ends are ASCII, so decoding each line replaces the same bytes as decoding the whole stream.
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event_type),
            "data" => {
                // Checked again, because the replacement of an invalid byte is three times as long.
                let bytes = self.data.len() + value.len();
                if bytes > DECODER_BYTES_MAX {
                    return Err(Error::too_large("an event of the stream", bytes, DECODER_BYTES_MAX));
                }
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                value.clone_into(&mut self.id);
                if !self.past_opening && self.data.is_empty() {
                    value.clone_into(&mut self.opening_id);
                }
            }
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                // Digits that exceed the number's type stand for its largest value.
                on_item(Item::Retry(Duration::from_millis(value.parse().unwrap_or(u64::MAX))));
            }
            // A comment has an empty name. Other names are ignored.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, on_item: &mut impl FnMut(Item)) {
        self.past_opening = true;
        self.id.clone_into(&mut self.last_event_id);
        let event_type = mem::take(&mut self.event_type);
        if self.data.is_empty() {
            return;
        }
        let mut data = mem::take(&mut self.data);
        data.pop();
        let event_type = if event_type.is_empty() { "message".to_owned() } else { event_type };
        on_item(Item::Message(Message { event_type, data, last_event_id: self.last_event_id.clone() }));
    }
}
