//! Shared by the tests: a future that is ready at once, a hub on a manual clock, and a [`Browser`].

use std::{
    future::Future,
    ops::RangeInclusive,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use tidecast::{
    Batch, Channel, Event, Feed, Hub, IdempotencyKey, Limits, Position, Publication, Published, Result, Start,
    Subscription,
    clock::ManualClock,
    wire::{Decoder, FirstBlock, Item, Message},
};

use crate::stream::Stream;

/// Builds limits or options with some fields set and the defaults for the others.
macro_rules! default_with {
    ($options:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {{
        let mut options = $options::default();
        $(options.$field = default_with!(@value $field $($value)?);)*
        options
    }};
    (@value $field:ident) => { $field };
    (@value $field:ident $value:expr) => { $value };
}

pub(crate) use default_with;

/// Polls a future once. In memory, every future is ready by then.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("not ready at the first poll"),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread. A lost wake-up shows as a test that does not end.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

/// Creates a hub with these limits, and its clock.
pub(crate) fn hub_with(limits: Limits) -> (Hub, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Hub::builder().limits(limits).clock(clock.clone()).build(), clock)
}

/// Publishes text.
pub(crate) fn publish(hub: &Hub, channel: &str, data: &str) -> Position {
    hub.publish_now(channel, Event::text(data)).expect("the event is published").position
}

/// Publishes an event under an idempotency key.
pub(crate) fn publish_with_key(hub: &Hub, channel: &str, event: Event, key: IdempotencyKey) -> Result<Published> {
    hub.publish_publication_now(&Publication::new(channel, event)?.with_idempotency_key(key))
}

/// Publishes text under an own id.
pub(crate) fn publish_with_id(hub: &Hub, channel: &str, data: &str, id: &str) -> Position {
    let event = Event::text(data).with_id(id).expect("an id");
    hub.publish_now(channel, event).expect("the event is published").position
}

/// Publishes the channel's name with each of these numbers.
pub(crate) fn publish_numbers(hub: &Hub, channel: &str, numbers: RangeInclusive<usize>) {
    for number in numbers {
        publish(hub, channel, &format!("{channel}{number}"));
    }
}

/// Returns the data that [`publish_numbers`] published.
pub(crate) fn numbers(channel: &str, numbers: RangeInclusive<usize>) -> Vec<String> {
    numbers.map(|number| format!("{channel}{number}")).collect()
}

/// Deletes a channel.
pub(crate) fn forget(hub: &Hub, channel: &str) -> bool {
    now(hub.forget(&name(channel))).expect("the memory broker is always available")
}

pub(crate) fn name(channel: &str) -> Channel {
    Channel::new(channel).expect("a name")
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Reads everything that a subscription has ready, as it goes to the socket, in batches of `bytes_max`.
pub(crate) fn ready_bytes(subscription: &mut Subscription, bytes_max: usize) -> Vec<u8> {
    let mut context = Context::from_waker(Waker::noop());
    let mut batch = Batch::new();
    let mut bytes = Vec::new();
    // No batch is empty, so this ends after the events in the logs.
    while let Poll::Ready(Some(())) = subscription.poll_batch(&mut context, &mut batch, bytes_max) {
        assert!(!batch.is_empty());
        bytes.extend(batch.parts().iter().flatten());
    }
    bytes
}

/// Reads everything that a feed has ready, as it goes to the socket.
pub(crate) fn feed_bytes(feed: &mut Feed) -> Vec<u8> {
    let mut context = Context::from_waker(Waker::noop());
    let mut batch = Batch::new();
    let mut bytes = Vec::new();
    while let Poll::Ready(Some(())) = feed.poll_batch(&mut context, &mut batch, 64 * 1024) {
        bytes.extend_from_slice(&batch.take_bytes());
    }
    bytes
}

/// Returns the next delivery, if one is ready.
pub(crate) fn ready_next(subscription: &mut Subscription) -> Option<tidecast::Delivery> {
    let future = pin!(subscription.next());
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(delivery) => delivery,
        Poll::Pending => None,
    }
}

/// Decodes a whole stream.
pub(crate) fn decode(bytes: &[u8]) -> Vec<Message> {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    let fed = decoder.feed(bytes, |item| messages.extend(message(item)));
    fed.expect("a stream of this crate");
    messages
}

/// Returns the position after which a reset's channel continues.
pub(crate) fn resumed_at(reset: &Message) -> Position {
    let data: serde_json::Value = serde_json::from_str(&reset.data).expect("JSON");
    data["resumed_at"].as_str().expect("a position").parse().expect("a position")
}

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn message(item: Item) -> Option<Message> {
    match item {
        Item::Message(message) => Some(message),
        _ => None,
    }
}

/// Returns a message in short: its data; of a reset, the channel and the reason; of the opening event, `open`.
pub(crate) fn told(message: &Message) -> String {
    match message.event_type.as_str() {
        tidecast::STREAM_RESET => {
            let reset: serde_json::Value = serde_json::from_str(&message.data).expect("JSON");
            format!("{} {}", reset["channel"].as_str().expect("a name"), reset["reason"].as_str().expect("a reason"))
        }
        tidecast::STREAM_OPEN => "open".to_owned(),
        _ => message.data.clone(),
    }
}

/// An `EventSource`, which learns its position from the bytes alone.
///
/// It commits an id from a block without data, and keeps it from one connection to the next, as Chromium does. It ignores the
/// part that arrives of a block that is cut.
pub(crate) struct Browser {
    hub: Hub,
    channels: Vec<String>,
    /// Whether its streams belong to reader groups while they can, as in a reactor.
    pub(crate) is_grouped: bool,
    pub(crate) last_event_id: String,
    pub(crate) first_block: FirstBlock,
    connection: Option<Connection>,
}

struct Connection {
    stream: Stream,
    decoder: Decoder,
    unread: Vec<u8>,
    ends_line: bool,
    /// An empty line was read, which commits the connection's id, or that there is none.
    has_block: bool,
}

impl Browser {
    pub(crate) fn new(hub: &Hub, channels: &[&str]) -> Self {
        Self {
            hub: hub.clone(),
            channels: channels.iter().map(ToString::to_string).collect(),
            is_grouped: false,
            last_event_id: String::new(),
            first_block: FirstBlock::default(),
            connection: None,
        }
    }

    /// Creates a browser that has just connected.
    pub(crate) fn connected(hub: &Hub, channels: &[&str]) -> Self {
        let mut browser = Self::new(hub, channels);
        browser.connect();
        browser
    }

    /// Connects with the id that it has. An earlier connection is cut.
    pub(crate) fn connect(&mut self) {
        let start = Start::After(self.last_event_id.clone().into());
        self.connect_from(start);
    }

    pub(crate) fn connect_from(&mut self, start: Start) {
        self.cut();
        let mut subscription = self.hub.subscribe(&self.channels, start).expect("the hub is open");
        let unread = subscription.first_block(self.first_block).to_vec();
        let stream = Stream::new(subscription, self.is_grouped);
        self.connection =
            Some(Connection { stream, decoder: Decoder::new(), unread, ends_line: false, has_block: false });
    }

    /// Reads everything that is ready, in batches of 64 KiB.
    pub(crate) fn read(&mut self) -> Vec<Message> {
        self.read_by(64 * 1024, usize::MAX)
    }

    /// Reads everything that is ready, in short.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.read().iter().map(told).collect()
    }

    /// Reads on in batches of `bytes_max`, up to `take` bytes. The rest waits in the socket.
    pub(crate) fn read_by(&mut self, bytes_max: usize, take: usize) -> Vec<Message> {
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let mut bytes = std::mem::take(&mut connection.unread);
        bytes.extend(connection.stream.ready_bytes(bytes_max));
        let take = take.min(bytes.len());
        connection.unread = bytes.split_off(take);
        let mut messages = Vec::new();
        let fed = connection.decoder.feed(&bytes, |item| messages.extend(message(item)));
        fed.expect("events are small");
        let begins_with_end = connection.ends_line && bytes.starts_with(b"\n");
        connection.has_block |= begins_with_end || bytes.windows(2).any(|two| two == b"\n\n");
        connection.ends_line = bytes.last().map_or(connection.ends_line, |last| *last == b'\n');
        if connection.has_block {
            connection.decoder.last_event_id().clone_into(&mut self.last_event_id);
        }
        messages
    }

    /// Reads only the first `blocks` blocks that are ready, and is cut.
    pub(crate) fn read_blocks_and_cut(&mut self, blocks: usize) -> Vec<Message> {
        // Nothing is read yet: everything goes back to the socket.
        self.read_by(64 * 1024, 0);
        let unread = self.connection.as_ref().map(|connection| connection.unread.clone()).unwrap_or_default();
        let ends = unread.windows(2).enumerate().filter(|(_, two)| two == b"\n\n").map(|(at, _)| at + 2);
        let take = std::iter::once(0).chain(ends).nth(blocks).expect("there are as many blocks");
        let messages = self.read_by(64 * 1024, take);
        self.cut();
        messages
    }

    pub(crate) fn unread_len(&mut self, bytes_max: usize) -> usize {
        self.read_by(bytes_max, 0);
        self.connection.as_ref().map_or(0, |connection| connection.unread.len())
    }

    /// Returns the id of the first block, if that has arrived and has one.
    pub(crate) fn first_id(&self) -> Option<String> {
        let unread = str::from_utf8(&self.connection.as_ref()?.unread).expect("it is text");
        let id = unread.split("\nid: ").nth(1)?;
        id.lines().next().map(str::to_owned)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Loses the connection, and the bytes that it has not read.
    pub(crate) fn cut(&mut self) {
        self.connection = None;
    }
}
