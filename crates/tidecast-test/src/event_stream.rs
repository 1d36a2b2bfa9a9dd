//! One connection to an event stream.

use std::{collections::VecDeque, io, net::SocketAddr};

use tidecast::wire::{Decoder, Item, Message};

use crate::{HttpConnection, ResponseHead, http::BodyFraming, request_bytes, within};

/// How many bytes of a body are kept, unless a test wants all of it.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Headers that the `EventSource` of every browser sends.
pub const BROWSER_HEADERS: &[(&str, &str)] = &[("Cache-Control", "no-cache"), ("User-Agent", "Mozilla/5.0 (X11)")];

/// A stream as one response.
#[derive(Debug)]
pub struct EventStream {
    /// The connection, whose buffer has bytes that were not decoded yet.
    pub connection: HttpConnection,
    /// The head of the response.
    pub head: ResponseHead,
    framing: BodyFraming,
    decoder: Decoder,
    items: VecDeque<Item>,
    /// How many bytes were read after the head, including the framing of the body.
    pub bytes_read: usize,
    /// The bytes of the body, up to a bound.
    pub body: Vec<u8>,
    body_bytes_max: usize,
}

impl EventStream {
    /// Requests a stream on a new connection and reads the head of the response, whose status must be 200.
    pub async fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = HttpConnection::open(address).await;
        connection.send(&request_bytes(address, "GET", target, headers, b"")).await;
        Self::read_head(connection).await
    }

    /// Reads the head of the response to a request that was sent on the connection. Its status must be 200.
    pub async fn read_head(mut connection: HttpConnection) -> Self {
        let head = connection.head().await;
        Self::after_head(head, connection)
    }

    /// Begins after a head that was read already.
    pub fn after_head(head: ResponseHead, connection: HttpConnection) -> Self {
        assert_eq!(head.status, 200, "{head:?}: {:?}", connection.buffer.escape_ascii().to_string());
        let framing = BodyFraming::of(&head);
        let mut stream = Self {
            connection,
            head,
            framing,
            decoder: Decoder::new(),
            items: VecDeque::new(),
            bytes_read: 0,
            body: Vec::new(),
            body_bytes_max: BODY_BYTES_MAX,
        };
        stream.decode();
        stream
    }

    /// Keeps the whole body from now on, not only its first 64 KiB.
    #[must_use]
    pub fn keep_all(mut self) -> Self {
        self.body_bytes_max = usize::MAX;
        self
    }

    /// Reads up to this many further bytes. Returns `false` if the stream has ended properly.
    pub async fn fill(&mut self, bytes_max: usize) -> bool {
        self.fill_or_cut(bytes_max).await.expect("the stream is not cut")
    }

    /// Reads up to this many further bytes. Returns `false` if the stream has ended properly.
    ///
    /// # Errors
    ///
    /// If the connection is cut before the proper end.
    pub async fn fill_or_cut(&mut self, bytes_max: usize) -> io::Result<bool> {
        if self.framing == BodyFraming::Ended {
            return Ok(false);
        }
        let before = self.connection.buffer.len();
        let more = self.connection.fill(bytes_max).await?;
        self.bytes_read += self.connection.buffer.len() - before;
        if !more {
            if self.framing != BodyFraming::UntilClose {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.framing = BodyFraming::Ended;
            return Ok(false);
        }
        self.decode();
        Ok(true)
    }

    /// Takes the next item that was read already.
    pub fn take_item(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// Reads the next item. Returns `None` at the proper end of the stream.
    pub async fn next_item(&mut self) -> Option<Item> {
        // One deadline for all reads: keep-alive comments would let each single read pass.
        within("the next item of a stream", async {
            while self.items.is_empty() && self.fill(64 * 1024).await {}
            self.items.pop_front()
        })
        .await
    }

    /// Reads the next event and skips other items.
    pub async fn message(&mut self) -> Message {
        loop {
            match self.next_item().await {
                Some(Item::Message(message)) => return message,
                Some(_) => {}
                None => panic!("the stream has ended; it began {:?}", self.body.escape_ascii().to_string()),
            }
        }
    }

    /// Reads the next event, a `stream-reset`, and returns its data.
    pub async fn reset(&mut self) -> serde_json::Value {
        let message = self.message().await;
        assert_eq!(message.event_type, "stream-reset", "{message:?}");
        serde_json::from_str(&message.data).expect("a reset's data is JSON")
    }

    /// Reads until the stream has an id: it misses no event that is published later.
    pub async fn until_live(&mut self) {
        within("a stream's first id", async {
            while self.last_event_id().is_empty() {
                assert!(self.fill(64 * 1024).await, "ended without an id: {:?}", self.body.escape_ascii().to_string());
            }
        })
        .await;
    }

    /// Reads events until one has these data. Returns the data of all events, and how many resets came among them.
    pub async fn data_until(&mut self, last: &str) -> (Vec<String>, usize) {
        let (mut data, mut resets) = (Vec::new(), 0);
        while data.last().is_none_or(|data| data != last) {
            let message = self.message().await;
            match &*message.event_type {
                "stream-reset" => resets += 1,
                _ => data.push(message.data),
            }
        }
        (data, resets)
    }

    /// Reads until the body has at least this many bytes, and returns all of it.
    pub async fn body_of_at_least(&mut self, bytes_min: usize) -> String {
        let reading = async { while self.body.len() < bytes_min && self.fill(64 * 1024).await {} };
        within("a stream's bytes", reading).await;
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads until the body ends with this text, and returns all of it.
    pub async fn body_until(&mut self, end: &str) -> String {
        within("a stream's bytes", async {
            while !self.body.ends_with(end.as_bytes()) {
                let more = self.fill(64 * 1024).await;
                assert!(more, "ended without {end:?}: {:?}", self.body.escape_ascii().to_string());
            }
        })
        .await;
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads to the proper end and returns the remaining items.
    pub async fn rest(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(item) = self.next_item().await {
            items.push(item);
        }
        items
    }

    /// Returns the id with which a client resumes that takes an id as soon as it has read its line.
    pub fn last_event_id(&self) -> &str {
        self.decoder.resume_id()
    }

    /// Returns the id of the last complete block.
    pub(crate) fn committed_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Returns the complete items that were not taken yet.
    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items.into()
    }

    /// Returns the last id in the block of the first `stream-reset`: where the stream continues.
    pub fn reset_position(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let block = body.split("\n\n").find(|block| block.contains("event: stream-reset"));
        let id = block.and_then(|block| block.lines().filter_map(|line| line.strip_prefix("id: ")).next_back());
        id.expect("a reset has an id").to_owned()
    }

    fn decode(&mut self) {
        let mut body = Vec::new();
        self.framing.take(&mut self.connection.buffer, &mut body);
        let room = self.body_bytes_max - self.body.len();
        self.body.extend(&body[..body.len().min(room)]);
        let items = &mut self.items;
        self.decoder.feed(&body, |item| items.push_back(item)).expect("no event is too large");
    }
}
