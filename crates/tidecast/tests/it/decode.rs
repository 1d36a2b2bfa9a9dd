//! The decoder against the standard's rules: each case of [`decode_table`](crate::decode_table) means the same however the
//! bytes are cut.

use std::time::Duration;

use proptest::prelude::*;
use tidecast::wire::{DECODER_BYTES_MAX, Decoder, Item, Message};

use crate::decode_table::{CASES, Case, Expected};

/// Decodes a stream that comes in these pieces. Returns its items, and the id with which to resume.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Item>, String) {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    for piece in pieces {
        decoder.feed(piece, |item| items.push(item)).expect("the cases are short");
    }
    (items, decoder.last_event_id().to_owned())
}

fn expected(case: &Case) -> (Vec<Item>, String) {
    let item = |item: &Expected| match *item {
        Expected::Message(event_type, data, id) => Item::Message(Message {
            event_type: event_type.to_owned(),
            data: data.to_owned(),
            last_event_id: id.to_owned(),
        }),
        Expected::Retry(ms) => Item::Retry(Duration::from_millis(ms)),
    };
    (case.items.iter().map(item).collect(), case.last_event_id.to_owned())
}

#[test]
fn a_whole_stream() {
    for case in CASES {
        assert_eq!(read([case.bytes]), expected(case), "{}", case.name);
    }
}

#[test]
fn a_stream_that_comes_byte_by_byte() {
    for case in CASES {
        assert_eq!(read(case.bytes.chunks(1)), expected(case), "{}", case.name);
    }
}

#[test]
fn a_stream_that_is_cut_in_two_anywhere_with_empty_pieces_between() {
    for case in CASES {
        for at in 0..=case.bytes.len() {
            let (head, tail) = case.bytes.split_at(at);
            assert_eq!(read([head, b"", tail]), expected(case), "{}, cut at {at}", case.name);
        }
    }
}

#[test]
fn every_case_has_a_distinct_name() {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
}

/// Lines and parts of lines with a meaning, so that random streams are not all noise.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "data", "data:", "data: ", "id", "id:", "id: 7", "event:", "event: x", "retry:", "retry: 15", ":", ": c", " ",
            "\u{feff}", "\0", "é", "other: y",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        4 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\r"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Cuts bytes at these places, each modulo the length of the rest.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for place in places {
        let (piece, after) = rest.split_at(place % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Decodes a whole stream by the standard's algorithm, as literally as it can be written.
fn literal_reading(bytes: &[u8]) -> (Vec<Item>, String) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut items, mut last_event_id) = (Vec::new(), String::new());
    let (mut data, mut event_type, mut id) = (String::new(), String::new(), String::new());
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            _ if line.is_empty() => {
                last_event_id.clone_from(&id);
                if let Some(data) = data.strip_suffix('\n') {
                    let event_type = if event_type.is_empty() { "message" } else { &event_type }.to_owned();
                    let (data, last_event_id) = (data.to_owned(), id.clone());
                    items.push(Item::Message(Message { event_type, data, last_event_id }));
                }
                data.clear();
                event_type.clear();
            }
            "data" => data.extend([value, "\n"]),
            "event" => event_type = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                items.push(Item::Retry(Duration::from_millis(value.parse().unwrap_or(u64::MAX))));
            }
            _ => {}
        }
    }
    (items, last_event_id)
}

proptest! {
    #[test]
    fn any_stream_means_what_the_standard_says_however_it_is_cut(
        stream in any_stream(),
        places in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let whole = literal_reading(&stream);
        prop_assert_eq!(read([&stream[..]]), whole.clone());
        prop_assert_eq!(read(cut(&stream, &places)), whole.clone());
        prop_assert_eq!(read(stream.chunks(1)), whole);
    }

    #[test]
    fn every_case_means_the_same_in_random_pieces(
        case in prop::sample::select(CASES),
        places in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        prop_assert_eq!(read(cut(case.bytes, &places)), expected(&case), "{}", case.name);
    }
}

#[test]
fn an_event_that_does_not_end_is_refused_before_it_fills_the_memory() {
    let line = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat();
    let mut decoder = Decoder::new();
    let fits = (DECODER_BYTES_MAX >> 20) - 1;
    for _ in 0..fits {
        decoder.feed(&line, |_| panic!("nothing is complete")).unwrap();
    }
    let refused = (0..2).find_map(|_| decoder.feed(&line, |_| panic!("nothing is complete")).err());
    assert!(refused.expect("the second is too much").is_too_large());
}

#[test]
fn a_line_that_does_not_end_is_refused_too() {
    let mut decoder = Decoder::new();
    decoder.feed(&vec![b'x'; DECODER_BYTES_MAX], |_| panic!("nothing is complete")).unwrap();
    assert!(decoder.feed(b"x", |_| panic!("nothing is complete")).unwrap_err().is_too_large());
}

#[test]
fn dispatched_events_no_longer_count_towards_the_limit() {
    let block = [b"data: ".as_slice(), &vec![b'x'; DECODER_BYTES_MAX / 2], b"\n\n"].concat();
    let mut decoder = Decoder::new();
    let mut events = 0;
    for _ in 0..4 {
        decoder.feed(&block, |_| events += 1).unwrap();
    }
    assert_eq!(events, 4);
}

/// Each byte that is not UTF-8 becomes three, so a limit on the received bytes did not limit the stored ones.
#[test]
fn invalid_utf_8_counts_with_the_length_of_its_replacement() {
    let mut decoder = Decoder::new();
    let mut line = b"data: ".to_vec();
    line.resize(DECODER_BYTES_MAX / 2, 0xff);
    line.push(b'\n');
    let refused = decoder.feed(&line, |item| panic!("{item:?}"));
    assert!(refused.unwrap_err().is_too_large());
}
