//! The checks of the fuzz targets that need the engine only, and the replay of every target's corpus.
//!
//! The checks of what is private to a crate are in that crate, in its module `fuzzing`.

use std::{
    fs, panic,
    path::Path,
    task::{Context, Poll, Waker},
};

use tidecast::{
    Batch, Channel, Event, Hub, Limits, STREAM_RESET, Start, Subscription,
    wire::{Decoder, FirstBlock, Item},
};

/// Runs a check on every file of a target's corpus, `fuzz/corpus/TARGET`.
///
/// # Panics
///
/// If a check panics, after its file's name was printed, or the corpus is missing.
pub fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus exists") {
        let path = entry.expect("the corpus can be listed").path();
        let bytes = fs::read(&path).expect("the file can be read");
        if let Err(panic) = panic::catch_unwind(|| check(&bytes)) {
            eprintln!("the input is {}", path.display());
            panic::resume_unwind(panic);
        }
        files += 1;
    }
    assert!(files >= 10, "only {files} in {}", folder.display());
}

/// Checks the decoder on any bytes: the same items come out whole and in pieces, and each event arrives unchanged if it is
/// published.
///
/// # Panics
///
/// If that does not hold.
pub fn decode(bytes: &[u8]) {
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte");
    // The bytes decide where they are cut.
    let sum = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let (head, tail) = bytes.split_at(sum % (bytes.len() + 1));
    assert_eq!(read([head, tail]), whole, "cut in two at {}", head.len());
    assert_eq!(read(bytes.chunks(2 + sum % 15)), whole, "in pieces of {}", 2 + sum % 15);

    for item in whole.0 {
        if let Item::Message(message) = item {
            publish_again(&message.event_type, &message.data, &message.last_event_id);
        }
    }
}

fn publish_again(event_type: &str, data: &str, id: &str) {
    // No CR comes out of a decoder, and every other character arrives unchanged.
    assert!(!data.contains('\r'));
    let mut event = Event::text(data);
    if let Some(typed) = event.clone().with_type(event_type).ok().filter(|_| event_type != "message") {
        event = typed;
    }
    if let Ok(with_id) = event.clone().with_id(id) {
        event = with_id;
    }
    arrives(&Channel::default(), &event);
}

/// Publishes an event and checks that it arrives unchanged. Returns `false` if the event is larger than the limits allow.
///
/// # Panics
///
/// If it arrives changed or not at all.
pub fn arrives(channel: &Channel, event: &Event) -> bool {
    let hub = Hub::new();
    let mut subscription = hub.subscribe([channel.clone()], Start::Live).expect("the hub is open");
    subscription.first_block(FirstBlock::default());
    if hub.publish_now(channel.clone(), event.clone()).is_err() {
        return false;
    }
    let (items, last_event_id) = read([&all(&mut subscription)[..]]);
    // A reconnection time is an item of its own.
    let messages: Vec<_> = items.iter().filter(|item| matches!(item, Item::Message(_))).collect();
    let [Item::Message(arrived)] = messages[..] else { panic!("{items:?} is not one event") };
    assert_eq!(arrived.data, event.data().replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(arrived.event_type, event.event_type().map_or("message", |event_type| event_type.as_str()));
    assert!(event.id().is_none_or(|id| last_event_id == id.as_str()));
    true
}

/// Checks that a stream of one channel or two resumes from any bytes as its id: with the retained events, after a reset if
/// the id is unknown, and that the last id received resumes after all of them.
///
/// # Panics
///
/// If that does not hold.
pub fn resume(bytes: &[u8]) {
    let mut limits = Limits::default();
    limits.log_events_max = 2;
    let hub = Hub::builder().limits(limits).build();
    let mut own_ids = bytes.split(|byte| *byte == b',').filter_map(|id| std::str::from_utf8(id).ok());
    for number in 0..4 {
        let event = Event::text(number.to_string());
        // The event's own id is a part of the input if that is a valid id.
        let own = own_ids.next().and_then(|id| event.clone().with_id(id).ok());
        hub.publish_now("a", own.unwrap_or_else(|| event.clone())).expect("the event is small");
        hub.publish_now("b", event).expect("the event is small");
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
    assert!(events <= 2 * channels.len(), "at most the retained events");
    assert!(!id.is_empty() || resets + events == 0, "a stream without an id is live");
    assert!(!last_event_id.is_empty());

    let again = all(&mut after_first_block(subscribe(last_event_id.as_bytes())));
    let again = read([&again[..]]).0;
    // An id that several events have brings a reset each time.
    let is_ambiguous = matches!(again.first(), Some(Item::Message(message)) if message.data.contains("ambiguous-id"));
    assert!(is_ambiguous || again.is_empty(), "{again:?} after {last_event_id:?}");
}

fn after_first_block(mut subscription: Subscription) -> Subscription {
    subscription.first_block(FirstBlock::default());
    subscription
}

/// Returns all bytes that are ready.
fn all(subscription: &mut Subscription) -> Vec<u8> {
    let (mut batch, mut bytes) = (Batch::new(), Vec::new());
    let mut context = Context::from_waker(Waker::noop());
    while subscription.poll_batch(&mut context, &mut batch, 64) == Poll::Ready(Some(())) {
        bytes.extend(batch.parts().iter().flatten());
    }
    bytes
}

/// Returns the items of a stream in pieces, and the id with which a client resumes.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Item>, String) {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    for piece in pieces {
        if decoder.feed(piece, |item| items.push(item)).is_err() {
            // The event is larger than the decoder accepts. The items before it count.
            break;
        }
    }
    (items, decoder.last_event_id().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{decode, replay, resume};

    #[test]
    fn the_corpus_of_the_decoder_passes() {
        replay("decode", decode);
    }

    #[test]
    fn the_corpus_of_resume_ids_passes() {
        replay("resume", resume);
    }
}
