//! An `EventSource`: a client that reconnects and resumes.

use std::net::SocketAddr;

use tidecast::wire::{Item, Message};

use crate::{BROWSER_HEADERS, EventStream, within};

/// An `EventSource` that takes its last event id from complete blocks only, as Chromium does.
#[derive(Debug)]
pub struct EventSource {
    address: SocketAddr,
    target: String,
    /// The id with which the next connection resumes, or an empty string.
    pub last_event_id: String,
    stream: Option<EventStream>,
}

impl EventSource {
    /// Returns an `EventSource` that is not connected yet.
    pub fn new(address: SocketAddr, target: &str) -> Self {
        Self { address, target: target.to_owned(), last_event_id: String::new(), stream: None }
    }

    /// Returns the stream, which is connected first if necessary.
    pub async fn connected(&mut self) -> &mut EventStream {
        if self.stream.is_none() {
            let resume = [BROWSER_HEADERS, &[("Last-Event-ID", self.last_event_id.as_str())]].concat();
            let headers = if self.last_event_id.is_empty() { BROWSER_HEADERS } else { &resume };
            self.stream = Some(EventStream::open(self.address, &self.target, headers).await);
        }
        self.stream.as_mut().expect("it was just connected")
    }

    /// Drops the connection, and with it the part of an event that was read. Returns the complete items that were not
    /// taken yet.
    pub fn cut(&mut self) -> Vec<Item> {
        let Some(stream) = self.stream.take() else { return Vec::new() };
        // A connection that was cut in its first block leaves the id as it was.
        if !stream.committed_id().is_empty() {
            stream.committed_id().clone_into(&mut self.last_event_id);
        }
        stream.into_items()
    }

    /// Cuts the connection and connects to another hub next, as a proxy in front of both hubs may do.
    pub fn move_to(&mut self, address: SocketAddr) -> Vec<Item> {
        self.address = address;
        self.cut()
    }

    /// Reads the next event. Returns `None` if the connection ends first.
    pub async fn message_or_cut(&mut self) -> Option<Message> {
        let stream = self.connected().await;
        within("the next event of a stream", async {
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

    /// Reads the next event, over several connections if necessary.
    pub async fn message(&mut self) -> Message {
        for _ in 0..100 {
            while let Some(item) = self.connected().await.next_item().await {
                if let Item::Message(message) = item {
                    return message;
                }
            }
            self.cut();
        }
        panic!("a hundred connections bring no event");
    }
}
