//! A stream that is cut at any byte: the id with which each kind of client returns, and that no event is lost.

use tidecast::{
    Hub, Start, Subscription,
    wire::{Decoder, FirstBlock, IdCommit},
};

use crate::{
    far::{FarBroker, far_hub},
    support::{decode, default_with, message, publish, publish_with_id, ready_bytes},
};

/// The state of a client after part of a stream: the id with which it returns, and the data of its events.
struct Reader {
    id: String,
    data: Vec<String>,
}

/// Reads as a client that commits an id at the empty line after it, as the standard requires.
fn standard(bytes: &[u8], before: &str) -> Reader {
    let mut decoder = Decoder::new();
    let mut data = Vec::new();
    decoder.feed(bytes, |item| data.extend(message(item).map(|message| message.data))).expect("it is a stream");
    let committed = bytes.windows(2).any(|two| two == b"\n\n");
    Reader { id: if committed { decoder.last_event_id().to_owned() } else { before.to_owned() }, data }
}

/// Reads as a client that commits an id at its line.
fn by_line(bytes: &[u8], before: &str) -> Reader {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_prefix("id: ")?.strip_suffix('\n'));
    let id = lines.next_back().unwrap_or(before).to_owned();
    Reader { id, ..standard(bytes, before) }
}

fn subscribe(hub: &Hub, channels: &[&str], id: &str, commit: IdCommit) -> (Subscription, Vec<u8>) {
    let start = if id.is_empty() { Start::Live } else { Start::After(id.into()) };
    let mut subscription = hub.subscribe(channels, start).expect("the hub is open");
    let first = subscription.first_block(default_with!(FirstBlock { commit })).to_vec();
    (subscription, first)
}

/// Returns the events of a client that returns with an id, however it is cut.
fn resumed(hub: &Hub, channels: &[&str], id: &str, commit: IdCommit) -> Vec<String> {
    let (mut subscription, mut bytes) = subscribe(hub, channels, id, commit);
    bytes.extend(ready_bytes(&mut subscription, 1000));
    decode(&bytes).into_iter().map(|message| message.data).collect()
}

/// Four popular clients commit an id at its line. When the id was the first line of a frame, a client that was cut after
/// that line returned after an event that it had never received.
#[test]
fn a_client_that_is_cut_anywhere_resumes_before_the_events_that_it_has_not_received() {
    let expected = ["one", "two\nlines", "three", "four"];
    for channels in [&["a"][..], &["a", "b"]] {
        let hub = Hub::new();
        let connect = |commit| subscribe(&hub, channels, "", commit);
        let mut open = [IdCommit::EmptyLine, IdCommit::Line].map(connect);
        publish(&hub, "a", "one");
        publish(&hub, "a", "two\nlines");
        publish_with_id(&hub, "a", "three", if channels.len() == 1 { "own" } else { "not sent" });
        publish(&hub, "a", "four");
        for ((subscription, first), commit) in open.iter_mut().zip([IdCommit::EmptyLine, IdCommit::Line]) {
            let mut bytes = first.clone();
            bytes.extend(ready_bytes(subscription, 1000));
            let begins_at = if commit == IdCommit::EmptyLine { first.len() } else { first.len() - 1 };
            for cut in begins_at..=bytes.len() {
                let reader = match commit {
                    IdCommit::EmptyLine => standard(&bytes[..cut], ""),
                    IdCommit::Line => by_line(&bytes[..cut], ""),
                };
                if reader.id.is_empty() {
                    assert!(reader.data.is_empty(), "an event comes with an id");
                    continue;
                }
                let got = [reader.data, resumed(&hub, channels, &reader.id, commit)].concat();
                // Between the id's line and the empty line, the id is committed and the event is not dispatched. No order
                // of lines can save that byte. Flask-SSE's streams have the same gap.
                let in_between = bytes[..cut].ends_with(b"\n") && bytes[cut..].starts_with(b"\n");
                if in_between && commit == IdCommit::Line {
                    assert_eq!(got.len(), expected.len() - 1, "cut at {cut}");
                } else {
                    assert_eq!(got, expected, "cut at {cut} of {:?}", bytes.escape_ascii().to_string());
                }
            }
        }
    }
}

/// A foreign event has no id. If the first block has no empty line, the event is in one block with the id before it: that of
/// the position before the event. So a client that is cut after it misses no later event.
#[test]
fn a_foreign_event_after_an_open_first_block_has_the_id_of_the_position_before_it() {
    let (hub, broker): (Hub, std::sync::Arc<FarBroker>) = far_hub(100);
    let (mut reader, first) = subscribe(&hub, &["sse"], "", IdCommit::Line);
    let at = publish(&hub, "sse", "before");
    ready_bytes(&mut reader, 1000);
    drop((reader, first));

    let (mut reader, mut bytes) = subscribe(&hub, &["sse"], "", IdCommit::Line);
    bytes.extend(ready_bytes(&mut reader, 1000));
    broker.send_foreign("sse", "old");
    bytes.extend(ready_bytes(&mut reader, 1000));
    let [old] = &decode(&bytes)[..] else { panic!("one event: {:?}", bytes.escape_ascii().to_string()) };
    assert_eq!((&*old.data, &*old.last_event_id), ("old", &*at.to_string()));
    publish(&hub, "sse", "later");
    assert_eq!(resumed(&hub, &["sse"], &old.last_event_id, IdCommit::Line), ["later"]);
}

/// The standard's buffer of the last event id is empty at the beginning of each connection, and an empty line commits it. A
/// block without an id before an empty line makes a page forget its place.
#[test]
fn no_block_has_an_empty_line_before_an_id() {
    use tidecast::wire::{KEEP_ALIVE, final_block};
    let (hub, broker) = far_hub(100);
    broker.open_late();
    let blocks = [IdCommit::EmptyLine, IdCommit::Line].map(|commit| subscribe(&hub, &["sse"], "", commit).1);
    let publisher = tidecast::Publisher::new();
    let feed = publisher.subscribe(["a"], (), tidecast::FeedOptions::default()).unwrap();
    let own = [final_block(std::time::Duration::ZERO), KEEP_ALIVE, feed.first_block(FirstBlock::default())];
    for block in blocks.iter().map(Vec::as_slice).chain(own.iter().map(|block| &block[..])) {
        assert!(block.ends_with(b"\n") && !block.starts_with(b"\n"), "{:?}", block.escape_ascii().to_string());
        assert!(!block.windows(2).any(|two| two == b"\n\n"), "{:?}", block.escape_ascii().to_string());
        assert_eq!(standard(block, "where it was").id, "where it was");
    }
}

/// Three popular clients dispatch a message for each empty line. A page that parsed its data as JSON failed at the first
/// block.
#[test]
fn the_first_block_dispatches_no_message() {
    let hub = Hub::new();
    for (open_event, commit, lines) in [
        (false, IdCommit::Line, ": tidecast\nretry: 3000\nid: 0.0\n"),
        (false, IdCommit::EmptyLine, ": tidecast\nretry: 3000\nid: 0.0\n\n"),
        (
            true,
            IdCommit::Line,
            ": tidecast\nretry: 3000\nevent: stream-open\ndata: {\"position\":\"0.0\"}\nid: 0.0\n\n",
        ),
    ] {
        let mut subscription = hub.subscribe(["a"], Start::Live).unwrap();
        let at = hub.channel(&"a".parse().unwrap()).expect("it is read").head.to_string();
        let block = subscription.first_block(default_with!(FirstBlock { open_event, commit }));
        assert_eq!(block, lines.replace("0.0", &at));
    }
}
