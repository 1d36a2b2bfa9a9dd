//! Reads standard input as batches of entries.
//!
//! A thread reads, because reading may block. A batch has the lines that can be read without waiting, up to the limits of
//! the hub: typed lines are sent one by one, a file in large arrays.

use std::{
    io::{self, BufRead, BufReader, Read},
    thread,
};

use tokio::sync::mpsc;

use super::{BatchEntry, EventTemplate};
use crate::{http::body::BYTE_ORDER_MARK, limits::BATCH_MAX};

/// Maximum size of a batch as JSON, in bytes: half of what the hub accepts, and what proxies commonly let pass.
const BATCH_BYTES_MAX: usize = 1024 * 1024 - 16 * 1024;

/// Maximum length of a line, in bytes. The hub would refuse the body of a longer one, so it is rejected here.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// Number of batches that are read ahead.
const AHEAD: usize = 4;

/// Lines that are published together.
#[derive(Debug, Default)]
pub(super) struct LineBatch {
    pub(super) entries: Vec<BatchEntry>,
    pub(super) rejected: Vec<Rejected>,
    /// Number of lines, rejected ones included.
    pub(super) lines: u64,
    /// Number of bytes of standard input.
    pub(super) bytes: u64,
    /// The error of reading after these lines.
    pub(super) error: Option<io::Error>,
}

/// A line that is not an event.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) line: u64,
    pub(super) why: String,
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// The data of an event.
    Text,
    /// A whole event as JSON.
    Ndjson,
}

/// Starts to read standard input.
pub(super) fn read(template: EventTemplate, format: LineFormat) -> mpsc::Receiver<LineBatch> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut lines = LineReader {
            reader: BufReader::with_capacity(READ_BYTES, io::stdin().lock()),
            template,
            format,
            number: 0,
            held: None,
        };
        // The receiver is dropped when the command ends.
        while let Some(batch) = lines.next() {
            if sender.blocking_send(batch).is_err() {
                break;
            }
        }
    });
    receiver
}

struct LineReader<R> {
    reader: BufReader<R>,
    template: EventTemplate,
    format: LineFormat,
    number: u64,
    /// An entry that did not fit into its batch.
    held: Option<BatchEntry>,
}

impl<R: Read> LineReader<R> {
    /// Returns the next batch; `None` at the end.
    fn next(&mut self) -> Option<LineBatch> {
        let mut batch = LineBatch::default();
        let mut json_bytes = 0;
        if let Some(entry) = self.held.take() {
            json_bytes += entry.json.len();
            batch.lines += 1;
            batch.entries.push(entry);
        }
        let mut line = Vec::new();
        while batch.lines < BATCH_MAX as u64 {
            // A line that is not there yet is left to the next batch.
            if batch.lines > 0 && !self.reader.buffer().contains(&b'\n') {
                break;
            }
            line.clear();
            let bytes = match read_line(&mut self.reader, &mut line) {
                Ok(0) => break,
                Ok(bytes) => bytes,
                Err(error) => {
                    batch.error = Some(error);
                    break;
                }
            };
            batch.bytes += bytes;
            self.number += 1;
            match self.entry(bytes, &line) {
                None => {}
                Some(Ok(entry)) if batch.entries.is_empty() || json_bytes + entry.json.len() < BATCH_BYTES_MAX => {
                    // One more for the comma.
                    json_bytes += entry.json.len() + 1;
                    batch.lines += 1;
                    batch.entries.push(entry);
                }
                Some(Ok(entry)) => {
                    self.held = Some(entry);
                    break;
                }
                Some(Err(why)) => {
                    batch.lines += 1;
                    batch.rejected.push(Rejected { line: self.number, why });
                }
            }
        }
        let nothing = batch.lines == 0 && batch.bytes == 0 && batch.error.is_none();
        (!nothing).then_some(batch)
    }

    fn entry(&self, bytes: u64, line: &[u8]) -> Option<Result<BatchEntry, String>> {
        if bytes > LINE_BYTES_MAX as u64 {
            return Some(Err(format!("has {bytes} bytes; at most {LINE_BYTES_MAX} are allowed")));
        }
        // Some editors and shells begin a file with the mark, which is not part of the first event.
        let line = if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(line) } else { line };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => return Some(Err(format!("is not UTF-8 at byte {}", error.valid_up_to() + 1))),
        };
        match self.format {
            LineFormat::Ndjson if text.trim_ascii().is_empty() => None,
            LineFormat::Ndjson => Some(self.template.entry_of_json(self.number, text)),
            LineFormat::Text => Some(self.template.entry(self.number, text)),
        }
    }
}

/// Reads a line with its end, and keeps at most [`LINE_BYTES_MAX`] of it. Returns its full length.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        let there = match reader.fill_buf() {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = there.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(there.len());
        let room = LINE_BYTES_MAX - line.len();
        line.extend_from_slice(&there[..taken.min(room)]);
        reader.consume(taken);
        bytes += taken as u64;
        if end.is_some() || taken == 0 {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::entry::Key, *};

    fn batches(text: &[u8], format: LineFormat) -> Vec<LineBatch> {
        let key = "run".to_owned();
        let template =
            EventTemplate { channel: "a".to_owned(), event_type: None, id: None, retry: None, key: Key::Prefix(key) };
        let mut lines =
            LineReader { reader: BufReader::with_capacity(READ_BYTES, text), template, format, number: 0, held: None };
        std::iter::from_fn(|| lines.next()).collect()
    }

    #[test]
    fn lines_come_in_arrays_of_what_the_hub_takes() {
        let text: String = (0..2_500).map(|number| format!("line {number}\n")).collect();
        let batches = batches(text.as_bytes(), LineFormat::Text);
        let sizes: Vec<_> = batches.iter().map(|batch| batch.entries.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 2_500);
        assert!(sizes.iter().all(|size| *size <= BATCH_MAX), "{sizes:?}");
        assert_eq!(batches.iter().map(|batch| batch.bytes).sum::<u64>(), text.len() as u64);
        assert_eq!(batches[1].entries[0].line, 1_001);
    }

    #[test]
    fn long_lines_come_alone_and_too_long_ones_are_refused() {
        let mut text = vec![b'x'; 700_000];
        text.push(b'\n');
        let mut text = text.repeat(2);
        text.extend(vec![b'y'; 3_000_000]);
        text.extend(b"\nend");
        let batches = batches(&text, LineFormat::Text);
        let lines: Vec<_> = batches.iter().flat_map(|batch| &batch.entries).map(|entry| entry.line).collect();
        assert_eq!(lines, [1, 2, 4]);
        assert!(
            batches
                .iter()
                .all(|batch| batch.entries.iter().map(|entry| entry.json.len()).sum::<usize>() < BATCH_BYTES_MAX)
        );
        let rejected: Vec<_> = batches.iter().flat_map(|batch| &batch.rejected).collect();
        assert_eq!(rejected[0].line, 3);
        assert!(rejected[0].why.contains("3000001 bytes"), "{rejected:?}");
        assert_eq!(batches.iter().map(|batch| batch.lines).sum::<u64>(), 4);
    }

    /// A byte order mark once became the beginning of the first event, and kept the first line from being JSON.
    #[test]
    fn a_byte_order_mark_is_skipped_at_the_beginning_of_the_input_only() {
        let read = batches("\u{feff}a\n\u{feff}b\n".as_bytes(), LineFormat::Text);
        assert!(read[0].entries[0].json.contains(r#""data":"a","#), "{read:?}");
        assert!(read[0].entries[1].json.contains("\"data\":\"\u{feff}b\","), "{read:?}");
        let read = batches("\u{feff}{\"data\":1}\n".as_bytes(), LineFormat::Ndjson);
        assert!(read[0].entries[0].json.contains(r#""data":1,"#), "{read:?}");
    }

    #[test]
    fn line_ends_are_not_data_and_empty_lines_are_events_only_as_text() {
        let text = b"a\r\n\n\xff\nlast";
        let read = batches(text, LineFormat::Text);
        let entries: Vec<_> = read.iter().flat_map(|batch| &batch.entries).map(|entry| entry.line).collect();
        assert_eq!(entries, [1, 2, 4]);
        assert!(read[0].entries[0].json.contains(r#""data":"a","#));
        assert!(read[0].rejected[0].why.contains("not UTF-8 at byte 1"));
        let read = batches(b"{\"data\":1}\n\n{\"data\":2}\n", LineFormat::Ndjson);
        assert_eq!(read.iter().map(|batch| batch.lines).sum::<u64>(), 2);
    }
}
