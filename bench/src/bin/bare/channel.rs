//! A channel: what was published and is still to be read, side by side, and who reads it.

/// Read by all up to its end, a log is emptied; by some only, it is cut at this size.
const LOG_BYTES_MAX: usize = 256 * 1024;

/// Who listens, and how far it has read.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) connection: u32,
    /// Bytes of the channel since it began.
    pub(crate) cursor: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    log: Vec<u8>,
    /// Where the log begins, in bytes of the channel.
    begin: u64,
    pub(crate) readers: Vec<Reader>,
    /// Whether it waits for a pass.
    pub(crate) dirty: bool,
}

impl Channel {
    pub(crate) fn end(&self) -> u64 {
        self.begin + self.log.len() as u64
    }

    /// What follows a cursor.
    pub(crate) fn after(&self, cursor: u64) -> &[u8] {
        self.log.get((cursor - self.begin) as usize..).unwrap_or_default()
    }

    /// Puts an event behind the others.
    pub(crate) fn append(&mut self, data: &[u8]) {
        self.log.extend_from_slice(b"data: ");
        self.log.extend_from_slice(data);
        self.log.extend_from_slice(b"\n\n");
    }

    /// Forgets what all have read.
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
