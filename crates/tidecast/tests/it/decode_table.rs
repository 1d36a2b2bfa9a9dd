//! Streams and their meaning, by the rules of section 9.2.6, "Interpreting an event stream", of the WHATWG HTML standard.
//!
//! [`decode`](crate::decode) feeds each of them in every way.

use self::Expected::{Message, Retry};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) items: &'static [Expected],
    pub(crate) last_event_id: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// Type, data, last event id.
    Message(&'static str, &'static str, &'static str),
    /// Milliseconds.
    Retry(u64),
}

const fn case(name: &'static str, bytes: &'static [u8], items: &'static [Expected]) -> Case {
    Case { name, bytes, items, last_event_id: "" }
}

const fn case_with_id(
    name: &'static str,
    bytes: &'static [u8],
    items: &'static [Expected],
    last_event_id: &'static str,
) -> Case {
    Case { name, bytes, items, last_event_id }
}

pub(crate) const CASES: &[Case] = &[
    // The four streams that the standard gives as examples.
    case(
        "example: three lines of data",
        b"data: YHOO\ndata: +2\ndata: 10\n\n",
        &[Message("message", "YHOO\n+2\n10", "")],
    ),
    case_with_id(
        "example: ids set, reset by an empty one, and an unfinished block",
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        &[Message("message", "first event", "1"), Message("message", "second event", "")],
        "",
    ),
    case(
        "example: empty data",
        b"data\n\ndata\ndata\n\ndata:",
        &[Message("message", "", ""), Message("message", "\n", "")],
    ),
    case(
        "example: with and without a space",
        b"data:test\n\ndata: test\n\n",
        &[Message("message", "test", ""), Message("message", "test", "")],
    ),
    // The byte order mark.
    case("a mark at the beginning is dropped", b"\xef\xbb\xbfdata: x\n\n", &[Message("message", "x", "")]),
    case("only one is", b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n", &[Message("message", "y", "")]),
    case("a mark alone on its line is an empty line", b"\xef\xbb\xbf\ndata: x\n\n", &[Message("message", "x", "")]),
    case(
        "a mark later belongs to the field's name",
        b"\n\xef\xbb\xbfdata: x\n\ndata: y\n\n",
        &[Message("message", "y", "")],
    ),
    case("a mark in a value is kept", b"data:\xef\xbb\xbfx\n\n", &[Message("message", "\u{feff}x", "")]),
    case("two thirds of a mark are no mark", b"\xef\xbbdata: x\n\n", &[]),
    // Line ends.
    case("LF", b"data: x\ndata: y\n\n", &[Message("message", "x\ny", "")]),
    case("CR", b"data: x\rdata: y\r\r", &[Message("message", "x\ny", "")]),
    case("CRLF", b"data: x\r\ndata: y\r\n\r\n", &[Message("message", "x\ny", "")]),
    case("CRLF is one end, not two", b"data: x\r\ndata: y\n\n", &[Message("message", "x\ny", "")]),
    case("LF CR are two", b"data: x\n\rdata: y\n\n", &[Message("message", "x", ""), Message("message", "y", "")]),
    case("CR CR LF are two", b"data: x\r\r\ndata: y\n\n", &[Message("message", "x", ""), Message("message", "y", "")]),
    case("CR at the very end", b"data: x\n\r", &[Message("message", "x", "")]),
    case(
        "nothing else ends a line",
        "data: a\u{b}b\u{c}c\u{1c}d\u{85}e\u{2028}f\u{2029}g\n\n".as_bytes(),
        &[Message("message", "a\u{b}b\u{c}c\u{1c}d\u{85}e\u{2028}f\u{2029}g", "")],
    ),
    // Fields and values.
    case("a comment", b": hello\ndata: x\n: again\n\n", &[Message("message", "x", "")]),
    case("a comment with a field in it", b":data: x\n\n", &[]),
    case("only the first space goes", b"data:  x \n\n", &[Message("message", " x ", "")]),
    case("a tab is no space", b"data:\tx\n\n", &[Message("message", "\tx", "")]),
    case("a space alone", b"data: \n\n", &[Message("message", "", "")]),
    case("more colons belong to the value", b"data: a:b: c\n\n", &[Message("message", "a:b: c", "")]),
    case("a field without a colon has an empty value", b"data\nevent\n\n", &[Message("message", "", "")]),
    case("unknown fields", b"datum: x\nfoo\ndata: y\nid2: 3\n\n", &[Message("message", "y", "")]),
    case("names are compared as they are", b"Data: x\nDATA: y\n data: z\ndata : w\n\n", &[]),
    case("a NUL in a name", b"da\0ta: x\n\n", &[]),
    case("a NUL in data", b"data: a\0b\n\n", &[Message("message", "a\0b", "")]),
    // Dispatching.
    case("nothing at all", b"", &[]),
    case("empty lines only", b"\n\n\r\n\r", &[]),
    case("one empty data line", b"data:\n\n", &[Message("message", "", "")]),
    case("empty lines within data", b"data: x\ndata\ndata:\ndata: y\n\n", &[Message("message", "x\n\n\ny", "")]),
    case("an unfinished line", b"data: x\n\ndata: y", &[Message("message", "x", "")]),
    case("an unfinished block", b"data: x\n\ndata: y\n", &[Message("message", "x", "")]),
    // The type.
    case("a type", b"event: add\ndata: 1\n\n", &[Message("add", "1", "")]),
    case(
        "a type counts for one event",
        b"event: add\ndata: 1\n\ndata: 2\n\n",
        &[Message("add", "1", ""), Message("message", "2", "")],
    ),
    case("a block without data uses up its type", b"event: add\n\ndata: 1\n\n", &[Message("message", "1", "")]),
    case("the last type counts", b"event: add\nevent: remove\ndata: 1\n\n", &[Message("remove", "1", "")]),
    case("an empty type is the default", b"event: add\nevent:\ndata: 1\n\n", &[Message("message", "1", "")]),
    // The id.
    case_with_id(
        "an id stays",
        b"id: 1\ndata: x\n\ndata: y\n\n",
        &[Message("message", "x", "1"), Message("message", "y", "1")],
        "1",
    ),
    case_with_id("an id after the data", b"data: x\nid: 1\n\n", &[Message("message", "x", "1")], "1"),
    case_with_id("a block without data sets the id", b"id: 1\n\n", &[], "1"),
    case_with_id("and events after it have it", b"id: 1\n\ndata: x\n\n", &[Message("message", "x", "1")], "1"),
    case_with_id("the id of an unfinished block does not count", b"id: 1\n\nid: 2\n", &[], "1"),
    case_with_id(
        "an empty id resets",
        b"id: 1\ndata: x\n\nid:\ndata: y\n\n",
        &[Message("message", "x", "1"), Message("message", "y", "")],
        "",
    ),
    case_with_id("so does a bare one", b"id: 1\n\nid\n\n", &[], ""),
    case_with_id("an id with NUL is ignored", b"id: 1\n\nid: 2\0\ndata: x\n\n", &[Message("message", "x", "1")], "1"),
    case_with_id("an id with spaces", b"id:  a b \n\n", &[], " a b "),
    case_with_id("the last id counts", b"id: 1\nid: 2\ndata: x\n\n", &[Message("message", "x", "2")], "2"),
    // The reconnection time.
    case("retry", b"retry: 1500\n\n", &[Retry(1500)]),
    case("retry counts at once", b"retry: 1500\ndata: unfinished", &[Retry(1500)]),
    case("retry without a space", b"retry:0\n", &[Retry(0)]),
    case("retry with zeros in front", b"retry: 007\n", &[Retry(7)]),
    case(
        "retry is digits only",
        b"retry: 1s\nretry: -1\nretry: +1\nretry: 1.5\nretry:  1\nretry: 1 \nretry:\nretry\n\n",
        &[],
    ),
    case("retry is ASCII digits only", "retry: ١٢\n\n".as_bytes(), &[]),
    case("a number too large is the largest", b"retry: 99999999999999999999\n", &[Retry(u64::MAX)]),
    // UTF-8.
    case(
        "characters of every length",
        "data: a\u{e9}\u{20ac}\u{1f30a}\n\n".as_bytes(),
        &[Message("message", "a\u{e9}\u{20ac}\u{1f30a}", "")],
    ),
    case("a byte that is none", b"data: a\xffb\n\n", &[Message("message", "a\u{fffd}b", "")]),
    case("a character cut by a line end", b"data: \xe2\x82\ndata: x\n\n", &[Message("message", "\u{fffd}\nx", "")]),
    case("a surrogate", b"data: \xed\xa0\x80\n\n", &[Message("message", "\u{fffd}\u{fffd}\u{fffd}", "")]),
    case_with_id(
        "an id with a byte that is none",
        b"id: \xff\ndata: x\n\n",
        &[Message("message", "x", "\u{fffd}")],
        "\u{fffd}",
    ),
];
