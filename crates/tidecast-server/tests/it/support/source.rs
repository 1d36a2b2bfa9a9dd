//! A stream as it is read: once, or as an `EventSource` reads it, again and again from where it left off.

use std::{collections::VecDeque, io, net::SocketAddr};

use tidecast::wire::{Decoder, Item, Message};

use super::{Connection, Head, http::Framing, request, within};

/// How much of a body is kept as it came, unless a test wants all of it.
const SEEN_BYTES_MAX: usize = 64 * 1024;

/// What a browser's own `EventSource` always sends.
pub(crate) const BROWSER: &[(&str, &str)] = &[("Cache-Control", "no-cache"), ("User-Agent", "Mozilla/5.0 (X11)")];

/// One connection to a stream.
pub(crate) struct Stream {
    pub(crate) connection: Connection,
    pub(crate) head: Head,
    framing: Framing,
    decoder: Decoder,
    items: VecDeque<Item>,
    /// How many bytes came after the head, framing included.
    pub(crate) bytes_read: usize,
    /// The body's first bytes, as they came.
    pub(crate) seen: Vec<u8>,
    seen_bytes_max: usize,
}

impl Stream {
    /// Asks for a stream and reads the head of the answer, which must be 200.
    pub(crate) async fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = Connection::open(address).await;
        connection.send(&request(address, "GET", target, headers, b"")).await;
        Self::begin(connection).await
    }

    /// Reads the head of the answer to what was asked on a connection.
    pub(crate) async fn begin(mut connection: Connection) -> Self {
        let head = connection.head().await;
        Self::after(head, connection)
    }

    /// Begins behind a head that was read already.
    pub(crate) fn after(head: Head, connection: Connection) -> Self {
        assert_eq!(head.status, 200, "{head:?}: {:?}", connection.buffer.escape_ascii().to_string());
        let framing = Framing::of(&head);
        let mut stream = Self {
            connection,
            head,
            framing,
            decoder: Decoder::new(),
            items: VecDeque::new(),
            bytes_read: 0,
            seen: Vec::new(),
            seen_bytes_max: SEEN_BYTES_MAX,
        };
        stream.decode();
        stream
    }

    /// Keeps all of the body from now on.
    pub(crate) fn keep_all(mut self) -> Self {
        self.seen_bytes_max = usize::MAX;
        self
    }

    /// Reads at most this many bytes more; `false` once the stream has come to its proper end.
    pub(crate) async fn fill(&mut self, bytes_max: usize) -> bool {
        self.fill_or_cut(bytes_max).await.expect("the stream goes on")
    }

    /// The same where the stream may be cut, which is an error.
    pub(crate) async fn fill_or_cut(&mut self, bytes_max: usize) -> io::Result<bool> {
        if self.framing == Framing::Ended {
            return Ok(false);
        }
        let before = self.connection.buffer.len();
        let more = self.connection.fill(bytes_max).await?;
        self.bytes_read += self.connection.buffer.len() - before;
        if !more {
            if self.framing != Framing::ToTheEnd {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.framing = Framing::Ended;
            return Ok(false);
        }
        self.decode();
        Ok(true)
    }

    /// What is there already.
    pub(crate) fn take_item(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// The next of what the stream says; `None` at its proper end.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        // The deadline is on the whole: keep-alive comments alone would let every single read pass.
        within("what a stream says next", async {
            while self.items.is_empty() && self.fill(64 * 1024).await {}
            self.items.pop_front()
        })
        .await
    }

    /// The next event; reconnection times are passed over.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            match self.next().await {
                Some(Item::Message(message)) => return message,
                Some(_) => {}
                None => panic!("the stream has ended; it began {:?}", self.seen.escape_ascii().to_string()),
            }
        }
    }

    /// The next event, which must be a `stream-reset`: its data.
    pub(crate) async fn reset(&mut self) -> serde_json::Value {
        let message = self.message().await;
        assert_eq!(message.event_type, "stream-reset", "{message:?}");
        serde_json::from_str(&message.data).expect("a reset's data is JSON")
    }

    /// Reads until the stream stands at a position: from there on nothing is missed.
    pub(crate) async fn until_live(&mut self) {
        within("a stream's first id", async {
            while self.last_event_id().is_empty() {
                assert!(self.fill(64 * 1024).await, "ended without an id: {:?}", self.seen.escape_ascii().to_string());
            }
        })
        .await;
    }

    /// Reads events until one has these data; answers with the data of all, and how many resets came between.
    pub(crate) async fn data_until(&mut self, last: &str) -> (Vec<String>, usize) {
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

    /// Reads until the body has at least so many bytes, and answers with all of it so far.
    pub(crate) async fn body(&mut self, bytes_min: usize) -> String {
        let reading = async { while self.seen.len() < bytes_min && self.fill(64 * 1024).await {} };
        within("a stream's bytes", reading).await;
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads until the body ends with this text, and answers with all of it.
    pub(crate) async fn body_until(&mut self, end: &str) -> String {
        within("a stream's bytes", async {
            while !self.seen.ends_with(end.as_bytes()) {
                let more = self.fill(64 * 1024).await;
                assert!(more, "ended without {end:?}: {:?}", self.seen.escape_ascii().to_string());
            }
        })
        .await;
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads to the proper end, and answers with all that the stream still says.
    pub(crate) async fn rest(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item);
        }
        items
    }

    /// The id with which a client resumes that commits ids at their lines.
    pub(crate) fn last_event_id(&self) -> &str {
        self.decoder.resume_id()
    }

    /// The id of the last reset or event that was complete: for a reset of one channel, where it goes on.
    pub(crate) fn resumed_at(&self) -> String {
        let ids = String::from_utf8_lossy(&self.seen);
        let block = ids.split("\n\n").find(|block| block.contains("event: stream-reset"));
        let id = block.and_then(|block| block.lines().filter_map(|line| line.strip_prefix("id: ")).next_back());
        id.expect("a reset has an id").to_owned()
    }

    fn decode(&mut self) {
        let mut body = Vec::new();
        self.framing.take(&mut self.connection.buffer, &mut body);
        let room = self.seen_bytes_max - self.seen.len();
        self.seen.extend(&body[..body.len().min(room)]);
        let items = &mut self.items;
        self.decoder.feed(&body, |item| items.push_back(item)).expect("no event is too large");
    }
}

/// An `EventSource`, which keeps its last event id as Chromium does: of every block that is complete.
pub(crate) struct Source {
    address: SocketAddr,
    target: String,
    pub(crate) last_event_id: String,
    stream: Option<Stream>,
}

impl Source {
    pub(crate) fn new(address: SocketAddr, target: &str) -> Self {
        Self { address, target: target.to_owned(), last_event_id: String::new(), stream: None }
    }

    /// The stream, connected if it is not.
    pub(crate) async fn connected(&mut self) -> &mut Stream {
        if self.stream.is_none() {
            let resume = [BROWSER, &[("Last-Event-ID", self.last_event_id.as_str())]].concat();
            let headers = if self.last_event_id.is_empty() { BROWSER } else { &resume };
            self.stream = Some(Stream::open(self.address, &self.target, headers).await);
        }
        self.stream.as_mut().expect("it was just connected")
    }

    /// Drops the connection where it is; what was read of an unfinished event is lost.
    ///
    /// Answers with what was complete and has not been taken.
    pub(crate) fn cut(&mut self) -> Vec<Item> {
        let Some(stream) = self.stream.take() else { return Vec::new() };
        // A connection that was cut before its first block does not change where the client stands.
        if !stream.decoder.last_event_id().is_empty() {
            stream.decoder.last_event_id().clone_into(&mut self.last_event_id);
        }
        stream.items.into()
    }

    /// Goes to another hub with its next connection, as behind a proxy that knows both.
    pub(crate) fn move_to(&mut self, address: SocketAddr) -> Vec<Item> {
        self.address = address;
        self.cut()
    }

    /// The next event; `None` where the connection was cut before it was complete.
    pub(crate) async fn message_or_cut(&mut self) -> Option<Message> {
        let stream = self.connected().await;
        within("what a stream says next", async {
            loop {
                while let Some(item) = stream.take_item() {
                    if let Item::Message(message) = item {
                        return Some(message);
                    }
                }
                if !stream.fill_or_cut(64 * 1024).await.unwrap_or(false) {
                    return None;
                }
            }
        })
        .await
    }

    /// The next event; an end of the stream is followed by another connection.
    pub(crate) async fn message(&mut self) -> Message {
        for _ in 0..100 {
            while let Some(item) = self.connected().await.next().await {
                if let Item::Message(message) = item {
                    return message;
                }
            }
            self.cut();
        }
        panic!("a hundred connections without an event");
    }
}
