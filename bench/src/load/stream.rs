//! Parses an event stream: the head of the response, its chunks, and the events.
//!
//! If the data are at the same place of their frame as in the last event and have the right length, no byte is searched
//! for. Otherwise the frame is read line by line. A stream keeps a few words and the incomplete event; all streams
//! share the read buffer.

use anyhow::{Result, bail, ensure};
use memchr::{memchr, memmem};

use super::stamp::{STAMP_BYTES, Stamp, filling};

/// The longest head of a response, and the longest event.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// An event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Ours(Stamp),
    /// An event that the bench did not publish, such as a `stream-reset`.
    Garbled,
}

/// How a server wraps the published data in the data of its events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wrapping {
    /// The text in front of each published data; empty if the published data are all.
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    /// How data begin that the server sends of itself.
    pub(crate) notices: &'static [&'static str],
}

/// The parser, which all streams share.
#[derive(Debug)]
pub(crate) struct Reading {
    filling: Vec<u8>,
    wrapping: Wrapping,
    /// The place of the last event's data line in its frame.
    data_at: usize,
    /// The bytes of that line up to the published data.
    lead: Vec<u8>,
}

/// The state of one stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    framing: Framing,
    rest: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    #[default]
    Head,
    Whole,
    /// In a chunk with this many bytes left.
    Chunk(u32),
    /// Between chunks, with the digits of the next size so far.
    Size(Option<u32>),
    Ended,
}

impl Reading {
    /// Creates a parser of events with this many bytes of data.
    pub(crate) fn new(data_bytes: usize, wrapping: Wrapping) -> Self {
        Self { filling: filling(data_bytes), wrapping, data_at: 0, lead: b"data: ".to_vec() }
    }

    /// Parses further bytes of a stream and reports each complete event.
    ///
    /// # Errors
    ///
    /// If the status is not 200, or the response is malformed.
    pub(crate) fn read(&mut self, stream: &mut Stream, mut bytes: &[u8], found: &mut impl FnMut(Found)) -> Result<()> {
        while !bytes.is_empty() {
            match stream.framing {
                Framing::Head => bytes = stream.head(bytes)?,
                Framing::Whole => {
                    self.events(&mut stream.rest, bytes, found);
                    bytes = &[];
                }
                Framing::Chunk(left) => {
                    let (body, behind) = bytes.split_at(bytes.len().min(left as usize));
                    self.events(&mut stream.rest, body, found);
                    bytes = behind;
                    let left = left - body.len() as u32;
                    stream.framing = if left > 0 { Framing::Chunk(left) } else { Framing::Size(None) };
                }
                Framing::Size(known) => {
                    stream.framing = size(known, bytes[0])?;
                    bytes = &bytes[1..];
                }
                Framing::Ended => bail!("bytes follow the last chunk"),
            }
        }
        Ok(())
    }

    fn events(&mut self, rest: &mut Vec<u8>, mut bytes: &[u8], found: &mut impl FnMut(Found)) {
        if !rest.is_empty() && !bytes.is_empty() {
            let end = if rest.ends_with(b"\n") && bytes[0] == b'\n' {
                Some(1)
            } else {
                memmem::find(bytes, b"\n\n").map(|at| at + 2)
            };
            rest.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            let Some(end) = end else { return };
            self.event(rest, found);
            rest.clear();
            bytes = &bytes[end..];
        }
        while !bytes.is_empty() {
            if let Some((stamp, end)) = self.at_the_last_place(bytes) {
                found(Found::Ours(stamp));
                bytes = &bytes[end..];
            } else if let Some(end) = memmem::find(bytes, b"\n\n") {
                self.event(&bytes[..end + 2], found);
                bytes = &bytes[end + 2..];
            } else {
                rest.extend_from_slice(bytes);
                return;
            }
        }
    }

    fn at_the_last_place(&self, bytes: &[u8]) -> Option<(Stamp, usize)> {
        let begin = self.data_at + self.lead.len();
        let data_end = begin + STAMP_BYTES + self.filling.len();
        if bytes.get(self.data_at..begin)? != self.lead || (self.data_at > 0 && bytes[self.data_at - 1] != b'\n') {
            return None;
        }
        let rest = bytes.get(data_end..)?.strip_prefix(self.wrapping.after.as_bytes())?;
        let line_end = if self.wrapping.before.is_empty() { 0 } else { memchr(b'\n', rest)? };
        if *rest.get(line_end)? != b'\n' || (line_end > 0 && self.has_more(&rest[..line_end])) {
            return None;
        }
        // An id may follow the data.
        let mut end = bytes.len() - rest.len() + line_end + 1;
        if bytes[end..].starts_with(b"id:") {
            end += memchr(b'\n', &bytes[end..])? + 1;
        }
        if *bytes.get(end)? != b'\n' {
            return None;
        }
        Some((Stamp::read(&bytes[begin..data_end], &self.filling)?, end + 1))
    }

    fn has_more(&self, data: &[u8]) -> bool {
        memmem::find(data, self.wrapping.before.as_bytes()).is_some()
    }

    /// Parses a frame line by line. A frame without data is not an event.
    fn event(&mut self, frame: &[u8], found: &mut impl FnMut(Found)) {
        let mut data = None;
        let mut at = 0;
        while let Some(end) = memchr(b'\n', &frame[at..]) {
            if frame[at..].starts_with(b"data:") && data.replace(at..at + end).is_some() {
                return found(Found::Garbled);
            }
            at += end + 1;
        }
        if let Some(line) = data {
            self.data(line.start, &frame[line], found);
        }
    }

    /// Parses a line of data, which may have several published data.
    fn data(&mut self, line_at: usize, line: &[u8], found: &mut impl FnMut(Found)) {
        let Wrapping { before, after, notices } = self.wrapping;
        let mut at = if line.starts_with(b"data: ") { 6 } else { 5 };
        if notices.iter().any(|notice| line[at..].starts_with(notice.as_bytes())) {
            return;
        }
        let mut first = true;
        while let Some(place) = memmem::find(&line[at..], before.as_bytes()) {
            let begin = at + place + before.len();
            let end = begin + STAMP_BYTES + self.filling.len();
            let data = line.get(begin..end).filter(|_| line[end..].starts_with(after.as_bytes()));
            let Some(stamp) = data.and_then(|data| Stamp::read(data, &self.filling)) else { break };
            found(Found::Ours(stamp));
            if first {
                self.data_at = line_at;
                self.lead.clear();
                self.lead.extend_from_slice(&line[..begin]);
            }
            first = false;
            at = end + after.len();
            if at == line.len() {
                return;
            }
        }
        if first || before.is_empty() || self.has_more(&line[at..]) {
            found(Found::Garbled);
        }
    }
}

impl Stream {
    /// Returns whether the response's head has arrived.
    pub(crate) fn has_begun(&self) -> bool {
        self.framing != Framing::Head
    }

    /// Returns whether the response has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.framing == Framing::Ended
    }

    /// Takes the bytes of the head and returns the rest.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let kept = self.rest.len();
        self.rest.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.rest, b"\r\n\r\n") else {
            ensure!(self.rest.len() < KEPT_BYTES_MAX, "the head of a response does not end");
            return Ok(&[]);
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "a stream was refused: {head}");
        let chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.ends_with("chunked"));
        self.framing = if chunked { Framing::Size(None) } else { Framing::Whole };
        self.rest = Vec::new();
        Ok(&bytes[end + 4 - kept..])
    }
}

/// Returns the state after one more byte of a chunk's size. The line end of the chunk before is skipped.
fn size(known: Option<u32>, byte: u8) -> Result<Framing> {
    Ok(match (byte, known) {
        (b'\n', Some(0)) => Framing::Ended,
        (b'\n', Some(size)) => Framing::Chunk(size),
        (b'\r' | b'\n', known) => Framing::Size(known),
        (digit, known) => {
            let Some(digit) = char::from(digit).to_digit(16) else { bail!("a chunk's size has the byte {digit}") };
            let known = known.unwrap_or(0);
            ensure!(known < 1 << 27, "a chunk is too large");
            Framing::Size(Some(known << 4 | digit))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

    fn data(number: u32) -> String {
        let mut data = [vec![0; STAMP_BYTES], filling(64)].concat();
        Stamp { channel: 0, number, serial: number, at: 7 }.write(&mut data);
        String::from_utf8(data).unwrap()
    }

    /// Returns the events in a response that arrives in pieces of this size: the number of each published event.
    fn found(response: &[u8], piece: usize) -> Result<Vec<Option<u32>>> {
        found_in(response, piece, Wrapping::default())
    }

    fn found_in(response: &[u8], piece: usize, wrapping: Wrapping) -> Result<Vec<Option<u32>>> {
        let (mut reading, mut stream) = (Reading::new(64, wrapping), Stream::default());
        let mut found = Vec::new();
        for piece in response.chunks(piece) {
            reading.read(&mut stream, piece, &mut |event| {
                found.push(match event {
                    Found::Ours(stamp) => Some(stamp.number),
                    Found::Garbled => None,
                });
            })?;
        }
        Ok(found)
    }

    fn whole(body: &str) -> Vec<u8> {
        format!("{HEAD}\r\n{body}").into_bytes()
    }

    fn chunked(chunks: &[&str]) -> Vec<u8> {
        let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    }

    #[test]
    fn events_are_found_in_pieces_of_any_size() {
        let frames: String = (0..12).map(|number| format!("data: {}\nid: e.{number}\n\n", data(number))).collect();
        let body = format!(": hello\nretry: 3000\nid: e.0\n{frames}:\n");
        let wanted: Vec<_> = (0..12).map(Some).collect();
        for piece in 1..300 {
            assert_eq!(found(&whole(&body), piece).unwrap(), wanted, "{piece}");
            let (one, two) = body.split_at(200);
            assert_eq!(found(&chunked(&[one, two]), piece).unwrap(), wanted, "chunks, {piece}");
        }
    }

    #[test]
    fn other_orders_of_lines_are_parsed_too() {
        let body = format!("data:{}\nid: 1:0\n\nid: 2\nevent: x\ndata: {}\n\n", data(0), data(1));
        let both = [Some(0), Some(1)];
        assert_eq!(found(&whole(&body), 50).unwrap(), both);
        let body = format!("{body}data: {}\ndata: more\n\n", data(2));
        assert_eq!(found(&whole(&body), 50).unwrap(), [&both[..], &[None]].concat());
    }

    #[test]
    fn an_event_that_was_not_published_is_garbled() {
        let cut = &data(1)[1..];
        let body = format!("data: {cut}\n\nevent: stream-reset\ndata: {{}}\n\ndata: {0}\ndata: {0}\n\n", data(2));
        assert_eq!(found(&whole(&body), 1_000).unwrap(), [None, None, None]);
    }

    #[test]
    fn published_data_are_found_in_the_data_of_other_servers() {
        let centrifugo = Wrapping { before: "\"pub\":{\"data\":\"", after: "\"", notices: &["{\"connect\":", "{}"] };
        let of = |number: u32| {
            let channel = if number < 9 { "c0" } else { "c4999" };
            format!(
                "data: {{\"channel\":\"{channel}\",\"pub\":{{\"data\":\"{}\",\"offset\":{number}}}}}\n\n",
                data(number)
            )
        };
        let frames: String = (0..12).map(of).collect();
        let body = format!(
            "\r\ndata: {{\"connect\":{{\"ping\":25}}}}\n\n{frames}data: {{}}\n\ndata: {{\"disconnect\":{{}}}}\n\n"
        );
        let wanted: Vec<_> = (0..12).map(Some).chain([None]).collect();
        for piece in 1..300 {
            assert_eq!(found_in(&whole(&body), piece, centrifugo).unwrap(), wanted, "{piece}");
        }

        let durable_streams = Wrapping { before: "\"", after: "\"", notices: &["{\"streamNextOffset\":"] };
        let of = |numbers: std::ops::Range<u32>| {
            let data: Vec<_> = numbers.map(|number| format!("\"{}\"", data(number))).collect();
            let data = data.join(",");
            format!("event: data\ndata:[{data}]\n\nevent: control\ndata:{{\"streamNextOffset\":\"0_9\"}}\n\n")
        };
        let body = [of(0..1), of(1..2), of(2..5), of(5..6)].concat();
        let wanted: Vec<_> = (0..6).map(Some).collect();
        for piece in 1..300 {
            assert_eq!(found_in(&whole(&body), piece, durable_streams).unwrap(), wanted, "{piece}");
        }
    }

    #[test]
    fn wrapped_data_that_were_changed_are_garbled() {
        let wrapping = Wrapping { before: "\"", after: "\"", notices: &[] };
        for garbled in [data(1)[1..].to_owned(), data(1) + "x", data(1).replace('x', "y")] {
            let body = format!("data:[\"{}\"]\n\ndata:[\"{garbled}\"]\n\n", data(0));
            assert_eq!(found_in(&whole(&body), 1_000, wrapping).unwrap(), [Some(0), None]);
        }
    }

    #[test]
    fn a_refusal_and_broken_chunks_are_errors() {
        assert!(found(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1_000).is_err());
        let broken = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n");
        assert!(found(broken.as_bytes(), 1_000).is_err());
    }
}
