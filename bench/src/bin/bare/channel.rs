//! A channel: the unread bytes and its readers.

/// The size at which a log is cut if some readers have not read it. A log that all have read is emptied.
const LOG_BYTES_MAX: usize = 256 * 1024;

/// A reader and its cursor.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) connection: u32,
    /// The position in bytes since the channel began.
    pub(crate) cursor: u64,
}

/// A channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    log: Vec<u8>,
    /// The position at which the log begins.
    begin: u64,
    pub(crate) readers: Vec<Reader>,
    /// Whether it is queued for a round.
    pub(crate) queued: bool,
}

impl Channel {
    pub(crate) fn end(&self) -> u64 {
        self.begin + self.log.len() as u64
    }

    /// Returns the bytes after a cursor.
    pub(crate) fn after(&self, cursor: u64) -> &[u8] {
        self.log.get((cursor - self.begin) as usize..).unwrap_or_default()
    }

    /// Appends an event.
    pub(crate) fn append(&mut self, data: &[u8]) {
        self.log.extend_from_slice(b"data: ");
        self.log.extend_from_slice(data);
        self.log.extend_from_slice(b"\n\n");
    }

    /// Removes the bytes that all have read.
    pub(crate) fn trim(&mut self, all_at_end: bool) {
        let end = self.end();
        if all_at_end {
            self.log.clear();
            self.begin = end;
        } else if self.log.len() > LOG_BYTES_MAX {
            let slowest = self.readers.iter().map(|reader| reader.cursor).min().unwrap_or(end);
            self.log.drain(..(slowest - self.begin) as usize);
            self.begin = slowest;
        }
    }
}
