//! What must hold of any bytes. The fuzz targets feed it theirs; the tests of the crates replay the corpora through it.
//!
//! The checks of what is private to a crate are in its module `fuzzing`.

// Each of those who include this uses a part of it.
#![allow(dead_code)]

use std::{
    fs, panic,
    path::Path,
    task::{Context, Poll, Waker},
};

use tidecast::{
    Batch, Channel, Event, Hub, Limits, STREAM_RESET, Start, Subscription,
    wire::{Decoder, FirstBlock, Item},
};

/// Runs a check on every file of a target's corpus. For the tests of a crate in `crates/`.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let path = entry.expect("it can be listed").path();
        let bytes = fs::read(&path).expect("it can be read");
        if let Err(panic) = panic::catch_unwind(|| check(&bytes)) {
            eprintln!("with {}", path.display());
            panic::resume_unwind(panic);
        }
        files += 1;
    }
    assert!(files >= 10, "only {files} in {}", folder.display());
}

/// Decodes bytes whole and in pieces, which must say the same, and sends on what they say, which must arrive as it is.
///
/// # Panics
///
/// Where that is not so.
pub(crate) fn decode(bytes: &[u8]) {
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
    // Cut at a place and in pieces of a size that the bytes themselves say.
    let sum = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (head, tail) = bytes.split_at(sum % (bytes.len() + 1));
    assert_eq!(read([head, tail]), whole, "cut in two at {}", head.len());
    assert_eq!(read(bytes.chunks(2 + sum % 15)), whole, "in pieces of {}", 2 + sum % 15);

    for item in whole.0 {
        if let Item::Message(message) = item {
            send_on(&message.event_type, &message.data, &message.last_event_id);
        }
    }
}

fn send_on(event_type: &str, data: &str, id: &str) {
    // A CR can't come out of a decoder, and every other character arrives as it was.
    assert!(!data.contains('\r'));
    let mut event = Event::text(data);
    let typed = event_type != "message" && event.clone().with_type(event_type).is_ok();
    if typed {
        event = event.with_type(event_type).expect("it was tried");
    }
    if let Ok(with_id) = event.clone().with_id(id) {
        event = with_id;
    }
    arrives(&Channel::default(), &event);
}

/// Publishes an event, which arrives as it is; or returns false, as it is larger than an event may be.
///
/// # Panics
///
/// If it arrives otherwise.
pub(crate) fn arrives(channel: &Channel, event: &Event) -> bool {
    let hub = Hub::new();
    let mut subscription = hub.subscribe([channel.clone()], Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    if hub.publish_now(channel.clone(), event.clone()).is_err() {
        return false;
    }
    let (items, last_event_id) = read([&all(&mut subscription)[..]]);
    // A time to reconnect is told beside the event.
    let messages: Vec<_> = items.iter().filter(|item| matches!(item, Item::Message(_))).collect();
    let [Item::Message(arrived)] = messages[..] else { panic!("one event, not {items:?}") };
    assert_eq!(arrived.data, event.data().replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(arrived.event_type, event.event_type().map_or("message", |event_type| event_type.as_str()));
    assert!(event.id().is_none_or(|id| last_event_id == id.as_str()));
    true
}

/// Resumes with bytes as the id, on one channel and on two: never an error, and what comes is all there is or a reset
/// and then all there is. Whatever came, it does not come again.
///
/// # Panics
///
/// Where that is not so.
pub(crate) fn resume(bytes: &[u8]) {
    let limits = Limits { log_events_max: 2, ..Limits::default() };
    let hub = Hub::builder().limits(limits).build();
    let mut own_ids = bytes.split(|byte| *byte == b',').filter_map(|id| std::str::from_utf8(id).ok());
    for number in 0..4 {
        let event = Event::text(number.to_string());
        // An id that is the very text that comes back, where it can be one.
        let own = own_ids.next().and_then(|id| event.clone().with_id(id).ok());
        hub.publish_now("a", own.unwrap_or_else(|| event.clone())).expect("it is small");
        hub.publish_now("b", event).expect("it is small");
    }
    for channels in [&["a"][..], &["a", "b"], &["b", "none"]] {
        check_resume(&hub, channels, bytes);
    }
}

fn check_resume(hub: &Hub, channels: &[&str], id: &[u8]) {
    let subscribe = |id: &[u8]| {
        let start = Start::After(id.to_vec());
        hub.subscribe(channels.iter().copied(), start).expect("an id is never an error")
    };
    let mut subscription = subscribe(id);
    let mut bytes = subscription.first_block(FirstBlock::default()).to_vec();
    bytes.extend(all(&mut subscription));
    let (items, last_event_id) = read([&bytes[..]]);
    let (mut resets, mut events) = (0, 0);
    for item in &items {
        match item {
            Item::Message(message) if message.event_type == STREAM_RESET => {
                assert_eq!(events, 0, "resets come first");
                resets += 1;
            }
            Item::Message(_) => events += 1,
            _ => {}
        }
    }
    assert!(resets <= channels.len());
    assert!(events <= 2 * channels.len(), "no more than the logs have");
    assert!(!id.is_empty() || resets + events == 0, "without an id it is live");
    assert!(!last_event_id.is_empty());

    let again = all(&mut begun(subscribe(last_event_id.as_bytes())));
    let again = read([&again[..]]).0;
    // An id that several events have is told at each return.
    let is_ambiguous = matches!(again.first(), Some(Item::Message(message)) if message.data.contains("ambiguous-id"));
    assert!(is_ambiguous || again.is_empty(), "{again:?} after {last_event_id:?}");
}

fn begun(mut subscription: Subscription) -> Subscription {
    subscription.first_block(FirstBlock::default());
    subscription
}

/// All that is ready.
fn all(subscription: &mut Subscription) -> Vec<u8> {
    let (mut batch, mut bytes) = (Batch::new(), Vec::new());
    let mut context = Context::from_waker(Waker::noop());
    while subscription.poll_batch(&mut context, &mut batch, 64) == Poll::Ready(true) {
        bytes.extend(batch.parts().iter().flatten());
    }
    bytes
}

/// What a stream in pieces says, and the id with which to resume.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Item>, String) {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    for piece in pieces {
        if decoder.feed(piece, |item| items.push(item)).is_err() {
            // An event that is larger than a decoder keeps: what came before it counts.
            break;
        }
    }
    (items, decoder.last_event_id().to_owned())
}
